"""Interfaces to the operating system: machine, disk, terminal, and text escaped for each output."""
