"""How the streets data set is drawn: shapes, things made of them, a world, and its picture."""
