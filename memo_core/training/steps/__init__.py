"""Steps of the optimizer: batches, schedules, the step itself, captured and shared by processes."""
