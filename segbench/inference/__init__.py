"""From a network and an image to a label map: padding, sliding windows, TTA, pictures."""
