"""Job files for Slurm: a sweep as one job, or its trials as an array."""
