"""The Ray session, what it can hold, and the machines behind it."""
