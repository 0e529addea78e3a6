"""The science of memosweep: data, models, training, sampling and measuring. Knows neither ray nor pandas."""
