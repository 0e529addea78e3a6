"""How a start of a run ends: tables and figures, what failed and what is missing, how to go on."""
