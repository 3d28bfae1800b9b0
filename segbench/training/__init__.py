"""The Lightning side: task, metrics, optimizers, callbacks, run directory."""
