"""Numbers from label maps and counts: confusion matrices, scores, boundaries, calibration."""
