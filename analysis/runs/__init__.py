"""Which runs count, what distinguishes them, and which may be compared."""
