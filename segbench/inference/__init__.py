"""From a network and an image to a label map: padding, sliding windows, test-time augmentation, pictures."""
