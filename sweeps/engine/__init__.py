"""What the sweep scripts share: command line, trials, trainable, progress and outcome."""
