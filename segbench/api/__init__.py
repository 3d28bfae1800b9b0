"""segbench from Python: the commands as functions with typed results."""
