"""Measurements, each one command; results with the command that printed them are kept in `results/`."""
