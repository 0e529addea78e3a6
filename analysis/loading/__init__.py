"""Tune's result folders as tidy rows: finding the files, parsing them, remembering what was parsed."""
