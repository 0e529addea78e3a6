"""Questions to a set of runs: effects, comparisons, importances, predictions, EMMs, the paper's findings."""
