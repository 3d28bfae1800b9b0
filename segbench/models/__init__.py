"""Models: one file per architecture, plus adapters for libraries; independent of Hydra and data."""
