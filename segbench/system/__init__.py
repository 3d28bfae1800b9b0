"""Where the program meets its surroundings: machine, disk, terminal, and text as each takes it."""
