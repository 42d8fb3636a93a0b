"""Training: the loop, its checkpoints, and running a detector over a data set."""
