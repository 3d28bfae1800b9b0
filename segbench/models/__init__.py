"""Networks: one file per architecture, adapters for the libraries. They know nothing of Hydra or the data."""
