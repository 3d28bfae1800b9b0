"""Reads and writes videos frame by frame, RGB."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from segbench.errors import DataError
from segbench.system.storage import replacing

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # a damaged file is our error, said once
SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


class VideoReader:
    """The frames of a video file, in their displayed orientation.

    Args:
        path: the file.

    Attributes:
        frames_per_second: frame rate of the file.
        num_frames: number of frames according to the file; 0 if unknown.

    Raises:
        DataError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._capture = cv2.VideoCapture(str(path))
        if not path.is_file() or not self._capture.isOpened():
            raise DataError(f"{path}: cannot be read as a video")
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
    """Writes frames to an MP4 file (MPEG-4); the size is that of the first frame, rounded to even.

    Args:
        path: the file, `.mp4`.
        frames_per_second: frame rate of the file.
    """

    def __init__(self, path: Path, frames_per_second: float) -> None:
        self._path, self._rate = path, frames_per_second
        self._draft = ExitStack()
        self._file = path  # the temporary file while writing
        self._frames = 0
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
        with self._draft:  # replaces the target, or is removed
            if error is not None:
                raise error
            self._check_whole()

    def write(self, frame: np.ndarray) -> None:
        """Adds a frame, uint8 `[H, W, 3]`."""
        height, width = (side + side % 2 for side in frame.shape[:2])
        if self._writer is None:
            self._file = self._draft.enter_context(replacing(self._path, durable=False))
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._file), codec, self._rate, (width, height))
            if not self._writer.isOpened():
                raise OSError(f"{self._path}: the video could not be opened for writing")
        padded = np.pad(
            frame, ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0)), "edge"
        )
        self._writer.write(cv2.cvtColor(padded, cv2.COLOR_RGB2BGR))
        self._frames += 1

    def _check_whole(self) -> None:
        """Raises OSError unless the file has all frames: OpenCV does not report a full disk."""
        if not self._frames:
            return
        written = cv2.VideoCapture(str(self._file))
        found = int(written.get(cv2.CAP_PROP_FRAME_COUNT))
        written.release()
        if found < self._frames:
            is_full = shutil.disk_usage(self._path.parent).free < 1 << 20
            number = errno.ENOSPC if is_full else errno.EIO
            raise OSError(number, os.strerror(number), str(self._path))
