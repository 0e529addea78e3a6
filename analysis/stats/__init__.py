"""Statistics of proportions and logits: arrays in, arrays out."""
