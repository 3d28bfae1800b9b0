"""The Lightning side: task, metrics, optimisers, callbacks, run directory."""
