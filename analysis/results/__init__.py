"""Tune's result folders as one tidy frame: finding the files, parsing them, remembering what was parsed."""
