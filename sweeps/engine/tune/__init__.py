"""memosweep under Ray Tune: the trainable, the searchers, the display."""
