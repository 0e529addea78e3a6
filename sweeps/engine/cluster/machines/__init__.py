"""What machines have, what a cluster can become, and what a trial gets of it."""
