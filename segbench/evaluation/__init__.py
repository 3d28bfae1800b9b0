"""Scores a checkpoint, or the predictions of any program, on a data set."""
