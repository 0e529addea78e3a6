"""What proposes the trials of a run: a list, an EMM search, Optuna; and the journal from which each is rebuilt."""
