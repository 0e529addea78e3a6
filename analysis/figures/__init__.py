"""Figures in two steps: the data of a figure as a frame, and its drawing."""
