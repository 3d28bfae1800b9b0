"""Networks: one file per architecture, adapters for libraries; they know no Hydra, no data."""
