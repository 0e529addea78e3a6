"""From a command line to a plan: options, own images, what differs from a run's plan, what it would cost."""
