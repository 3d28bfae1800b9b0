"""Models and losses of this project."""
