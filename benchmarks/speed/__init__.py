"""Measurements of speed and memory, with their clock and the libraries that ours is compared with."""
