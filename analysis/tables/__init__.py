"""Each table of the project, once."""
