"""Figures in two steps: the data of a figure as a frame, and the drawing from it."""
