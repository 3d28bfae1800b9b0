"""Records and frames of the splits of a source, cached if configured."""

from __future__ import annotations

import logging

from segbench.data.bands import bands_of
from segbench.data.cache import cached_in_memory, cached_on_disk
from segbench.data.dataset import Frames, Record, Source
from segbench.data.fingerprint import fingerprint
from segbench.data.frames import SourceFrames
from segbench.data.overlap import shared_images
from segbench.errors import DataError
from segbench.system.machine import cache_folder, expanded

_log = logging.getLogger(__name__)


class Splits:
    """Train, val and test of a source, each read on first use.

    Args:
        source: the data set.
        resize: `(H, W)` of images, and of the masks of train; None keeps their size.
        cache: `disk`, `ram` or `none`; test is read only once, and never cached.
        cache_dir: folder of disk caches; None = `machine.cache_folder()`.
        cache_limit_gb: maximum size of all caches together, in 10^9 bytes.
    """

    def __init__(
        self,
        source: Source,
        resize: tuple[int, int] | None,
        cache: str,
        cache_dir: str | None,
        cache_limit_gb: float,
    ) -> None:
        self.source = source
        self.resize = resize
        self.cache = cache
        self.cache_dir = expanded(cache_dir, "data.cache_dir") if cache_dir else cache_folder()
        self.cache_limit = int(cache_limit_gb * 1e9)
        self._records: dict[str, list[Record]] = {}
        self._frames: dict[str, Frames] = {}

    def records(self, split: str) -> list[Record]:
        """The images of a split.

        Raises:
            DataError: the split is empty.
        """
        if split not in self._records:
            records = self.source.records(split)
            if not records:
                raise DataError(f"the {split} split of {self.source.protocol} is empty")
            self._records[split] = records
        return self._records[split]

    def frames(self, split: str) -> Frames:
        """The frames of a split; builds the cache on first use."""
        if split not in self._frames:
            self._frames[split] = self._cached(split)
        return self._frames[split]

    def fingerprint(self, split: str) -> str:
        """Fingerprint of a split's content; see `fingerprint`."""
        memo = self.cache_dir / "fingerprints" if self.cache_dir else None
        return fingerprint(self.source, self.records(split), memo)

    def trained_on(self, split: str) -> list[Record]:
        """The images of a split that are training images too; see `shared_images`."""
        return shared_images(self.source, self.records(split), self.records("train"))

    def _cached(self, split: str) -> Frames:
        train, records = split == "train", self.records(split)
        frames = SourceFrames(self.source, records, self.resize, resize_mask=train)
        label = f"{self.source.protocol}/{split}"
        if self.cache == "none" or split == "test":
            return frames
        if self.cache == "ram":
            return cached_in_memory(frames, self.cache_limit, label)
        if self.cache_dir is None:
            _log.warning(
                "cache=disk for %s: this user has no home folder; continuing without a cache "
                "(set HOME, or data.cache_dir)",
                label,
            )
            return frames
        size = "x".join(map(str, self.resize or ()))
        key = f"{self.fingerprint(split)}-{split}{size}{bands_of(self.source).key}"
        return cached_on_disk(frames, key, self.cache_dir, self.cache_limit, label)
