"""Files are complete or absent, locked by one process at a time, with names for every system."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch

from segbench.errors import ConfigError
from segbench.system import storage
from segbench.system.storage import (
    alone_in,
    clear_drafts,
    file_names,
    is_portable,
    locked,
    output_error,
    replacing,
    replacing_all,
    waiting_for,
    write_png,
    write_text,
)
from tests.conftest import ROOT, python_path


class _FullDisk:
    """A file on a disk that is full."""

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        """Nothing is buffered."""


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def fail() -> None:
        with replacing(file) as draft:
            draft.write_text("ne")
            raise OSError(errno.ENOSPC, "No space left on device", str(draft))

    with pytest.raises(OSError, match="No space left") as caught:
        fail()
    assert str(caught.value) == f"[Errno {errno.ENOSPC}] No space left on device: {str(file)!r}", (
        "no one knows the name of a draft"
    )
    assert file.read_text() == "old"
    with replacing(file) as draft:
        draft.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_two_writers_of_one_file_do_not_interfere(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    with replacing(file) as one, replacing(file) as other:
        assert one != other
        assert one.suffix == ".png", "libraries choose the format by it"
        one.write_text("one")
        other.write_text("other")
    assert file.read_text() == "one"
    assert list(tmp_path.iterdir()) == [file]


def test_names_as_long_as_a_file_system_takes_can_be_written(tmp_path: Path) -> None:
    file = tmp_path / ("ä" * 125 + ".png")
    write_png(file, np.zeros((2, 3), np.uint8))
    assert list(tmp_path.iterdir()) == [file]


def test_a_set_of_files_is_all_new_or_all_old(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")

    def fail() -> None:
        with replacing_all(tmp_path) as draft:
            write_text(draft / "a", "new")
            raise OSError(errno.ENOSPC, "No space left on device", str(draft / "sub" / "b"))

    with pytest.raises(OSError, match="No space") as caught:
        fail()
    assert caught.value.filename == str(tmp_path / "sub" / "b")
    assert {f.name: f.read_text() for f in tmp_path.iterdir()} == {"a": "old", "b": "old"}
    with replacing_all(tmp_path) as draft:
        write_text(draft / "a", "new")
        write_text(draft / "sub" / "c", "new")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a", "b", "sub"]
    assert (tmp_path / "a").read_text() == "new"


def test_a_full_disk_is_found_behind_the_exceptions_of_libraries(tmp_path: Path) -> None:
    def save() -> None:
        with replacing(tmp_path / "x.ckpt") as draft:
            draft.touch()
            torch.save({"weight": torch.zeros(100)}, _FullDisk())  # ends in a RuntimeError

    with pytest.raises(OSError, match="No space left") as caught:
        save()
    told = output_error(caught.value)
    assert str(told) == (
        f"{tmp_path / 'x.ckpt'}: No space left on device; free some and repeat the command"
    )
    assert told.exit_code == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_write_error_is_reported_in_one_line(number: int) -> None:
    told = str(output_error(OSError(number, "reason", "place")))
    assert told.startswith("place: reason; ")
    assert "\n" not in told


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    assert output_error(FileNotFoundError(errno.ENOENT, "no such file", "x")) is None
    assert output_error(RuntimeError("x")) is None


def test_a_place_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    (tmp_path / ".partial-1-old.txt").touch()
    with alone_in(tmp_path, "output"):
        assert not list(tmp_path.glob(".partial*")), "what a killed process left"
        with pytest.raises(ConfigError, match=r"output=.*another process is writing there"):
            alone_in(tmp_path, "output").__enter__()
        with alone_in(tmp_path, "output", "one.ckpt"):  # another file has another lock
            write_text(tmp_path / "one.ckpt", "")
    assert [f.name for f in tmp_path.iterdir()] == ["one.ckpt"]


def test_a_command_that_fails_leaves_no_empty_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    with pytest.raises(ValueError, match="x"), alone_in(folder, "output"):
        raise ValueError("x")
    assert not folder.exists()
    with pytest.raises(ValueError, match="x"), alone_in(tmp_path, "output", "file"):
        raise ValueError("x")
    assert not list(tmp_path.iterdir()), "the folder around one file is not the command's own"


def test_drafts_of_different_files_are_distinguished(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "[a].png"):
        (tmp_path / f".partial-1-{name}").touch()
    clear_drafts(tmp_path, "[a].png")
    assert sorted(f.name for f in tmp_path.iterdir()) == [".partial-1-a.png", ".partial-1-b.png"]


def test_those_who_wait_for_a_lock_get_it_one_after_the_other(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from segbench.system.storage import waiting_for\n"
        "log = Path(sys.argv[1]) / 'log'\n"
        "for _ in range(20):\n"
        "    with waiting_for(log.with_name('lock'), 'the other'):\n"
        "        with log.open('a') as file: file.write('in ')\n"
        "        time.sleep(0.002)\n"
        "        with log.open('a') as file: file.write('out\\n')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {"PYTHONPATH": python_path(ROOT), "PATH": ""}
    others = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [other.wait(60) for other in others] == [0, 0, 0]
    assert (tmp_path / "log").read_text().splitlines() == ["in out"] * 60
    with waiting_for(tmp_path / "lock", "no one"):
        pass
    assert [f.name for f in tmp_path.iterdir()] == ["log"], "the lock is gone"


def test_names_of_files_are_legal_and_different_on_every_system() -> None:
    texts = ["road", "car/van", "car:van", "Road", "CON", "nul.txt", "end. ", "a\x00b", "", "道"]
    names = file_names([*texts, "x" * 400, "y" * 400])
    assert names[:4] == ["road", "car_van", "car_van-2", "Road-2"]
    assert names[4:10] == ["_CON", "_nul.txt", "end", "a_b", "_", "道"]
    assert len({name.casefold() for name in names}) == len(names)
    assert all(is_portable(name) for name in names)
    assert all(len(name.encode()) <= 210 for name in names)
    assert not any(is_portable(name) for name in ("..", "a:b", "aux", "x.", "what?"))


def test_a_file_that_is_being_read_on_windows_is_replaced_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, replace = [], os.replace

    def busy(source: Path, target: Path) -> None:
        refused.append(target)
        if len(refused) < 3:
            raise PermissionError(errno.EACCES, "is being used by another process", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(storage, "_PAUSE", 0)
    with pytest.raises(PermissionError):
        write_text(tmp_path / "a", "new")
    monkeypatch.setattr(storage, "WINDOWS", True)
    refused.clear()
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "new"
    with replacing_all(tmp_path / "b") as draft:
        (draft / "c").write_text("x", encoding="utf-8")
        refused.clear()
    assert len(refused) == 3


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_reported(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    for block in (locked(tmp_path / ".lock"), waiting_for(tmp_path / ".lock", "another")):
        with pytest.raises(OSError, match="lock") as caught, block:
            pass
        assert f"{tmp_path}/.lock: " in str(output_error(caught.value))
        assert "choose a file system with locks" in str(output_error(caught.value))
