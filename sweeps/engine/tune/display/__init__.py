"""What the live display shows of a sweep: its trials, the time left, and how both are drawn."""
