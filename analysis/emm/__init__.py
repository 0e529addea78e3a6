"""The effective model memorization: its estimators, the search for it, and rules that stop a training early."""
