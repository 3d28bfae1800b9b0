"""Data sets, class sets, transforms and loaders."""
