"""Bytes of complete image and mask files of every format, to be damaged."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tests.data.pixel_files import netpbm, palette_image, pillow, png, random_pixels, tiff

SMOOTH = np.array(Image.fromarray(random_pixels("uint8", 3)).resize((160, 120)))
LABELS = np.kron(random_pixels("uint8", 1, top=9), np.ones((20, 20), np.uint8))
COLORS = np.random.default_rng(5).integers(0, 256, (16, 3), np.uint8)
MASKS = {
    "palette": pillow(palette_image(LABELS, COLORS), "PNG"),
    "palette of 4 bits": pillow(palette_image(LABELS, COLORS), "PNG", bits=4),
    "1 bit": pillow(Image.fromarray(LABELS > 4), "PNG"),
    "2 bits": png(LABELS % 4, 2),
    "8 bits": png(LABELS, 8),
    "16 bits": png(LABELS.astype(np.uint16), 16),
    "RGB": png(COLORS[LABELS], 8),
}
WHOLE = {
    "PNG": pillow(SMOOTH, "PNG"),
    "palette PNG": MASKS["palette"],
    "JPEG": pillow(SMOOTH, "JPEG"),
    "progressive JPEG": pillow(SMOOTH, "JPEG", progressive=True, restart_marker_blocks=3),
    "BMP": pillow(SMOOTH, "BMP"),
    "GIF": pillow(SMOOTH, "GIF"),
    "WebP": pillow(SMOOTH, "WEBP"),
    "TIFF": pillow(SMOOTH, "TIFF"),
    "LZW TIFF": pillow(SMOOTH, "TIFF", compression="tiff_lzw"),
    "deflate TIFF": tiff(SMOOTH, compression="zlib"),
    "PPM": pillow(SMOOTH, "PPM"),
    "plain PGM": netpbm(random_pixels("uint8", 1), 255, plain=True),
}
