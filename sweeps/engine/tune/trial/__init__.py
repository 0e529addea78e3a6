"""One trial in its worker: training, its companions, its ranks and its folder."""
