"""The commands of `python -m analysis`: a module each, with `add_arguments` and `run`."""

COMMANDS = {
    "table": "the paper's tables beside the published numbers, or the best ratios by what varies",
    "figures": "every figure that the results allow, as files",
    "report": "one self-contained HTML page: what was run, findings with verdicts, figures, tables, gallery",
    "compare": "what differs between two sweeps, and whether it is beyond noise",
    "importance": "the settings by their effect on the ratio (fANOVA with bootstrap)",
    "emm": "the largest training set that a model still memorizes, for each factor value, with its interval",
    "watch": "the report of running sweeps as a page of this machine that renews itself",
    "predict": "what memorization ratio to expect at a setting that nobody ran",
}
"""Command and its line of help; `analysis.commands.NAME` is imported when it is requested, so that one command does not
wait for what another one imports."""
