"""Reads and writes videos frame by frame, RGB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from segbench.errors import DataError

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


class VideoReader:
    """The frames of a video file, the right way up.

    Args:
        path: the file.

    Attributes:
        frames_per_second: of the recording.
        num_frames: as the file claims; 0 if it does not say.

    Raises:
        DataError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._capture = cv2.VideoCapture(str(path))
        if not path.is_file() or not self._capture.isOpened():
            raise DataError(f"{path}: not a video that can be read")
        self.frames_per_second = self._capture.get(cv2.CAP_PROP_FPS) or 25.0
        self.num_frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields uint8 `[H, W, 3]`."""
        while True:
            found, frame = self._capture.read()
            if not found:
                self._capture.release()
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


class VideoWriter:
    """Writes frames to an MP4 file (MPEG-4); the size is that of the first frame, made even.

    Args:
        path: the file, `.mp4`.
        frames_per_second: of the recording.
    """

    def __init__(self, path: Path, frames_per_second: float) -> None:
        self._path, self._rate = path, frames_per_second
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.release()

    def write(self, frame: np.ndarray) -> None:
        """Adds a frame, uint8 `[H, W, 3]`."""
        height, width = (side + side % 2 for side in frame.shape[:2])
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), codec, self._rate, (width, height))
            if not self._writer.isOpened():
                raise OSError(f"{self._path}: the video could not be opened for writing")
        padded = np.pad(
            frame, ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0)), "edge"
        )
        self._writer.write(cv2.cvtColor(padded, cv2.COLOR_RGB2BGR))
