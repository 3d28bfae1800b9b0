"""What is written has names of its own, and is there as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segbench.inference.outputs import file_names, save_png


def test_every_class_has_a_file_name_of_its_own(tmp_path: Path) -> None:
    names = [
        "Road",
        "a/b",
        "a_b",
        "road",
        "..",
        "x" * 400,
        "x" * 401,
        "nul\0",
        "Straße",
        "道路",
        "",
    ]
    files = file_names(names)
    assert files[8:10] == ["Straße", "道路"]
    assert len({file.lower() for file in files}) == len(names)
    for file in files:
        path = tmp_path / f"{file}.png"
        save_png(path, np.zeros((1, 1), np.uint8))
        assert path.parent == tmp_path


def test_no_half_of_a_file_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> None:
        with self.open("wb") as file:
            file.write(data[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save_png(tmp_path / "a" / "b.png", np.zeros((1, 1), np.uint8))
    assert not (tmp_path / "a" / "b.png").exists()
