"""From model and image to a label map: padding, sliding windows, TTA, rendered images."""
