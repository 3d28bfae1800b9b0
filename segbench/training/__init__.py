"""Training with Lightning: task, metrics, optimizers, callbacks, run directory."""
