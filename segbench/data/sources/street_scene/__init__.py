"""Draws the streets data set: shapes, objects made of them, a world, and its images."""
