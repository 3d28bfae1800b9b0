"""No regular expression in a config takes unreasonably long."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from segbench.data.regexes import Regex
from segbench.data.sources.folder import Folder
from segbench.data.sources.layout import find_files
from segbench.errors import DataError

USUAL = (
    *(r"^(P[0-9]+)_", r"^Image_[0-9]+", r"^[^_]+", r"^(case[0-9]+)_", r"(\d+)_(\d+)_(\d+)"),
    *(r"^(\w+)_(\w+)_(\w+)_(\w+)_(\w+)$", r"([a-z]{2,3}_){2}[0-9]+", r"(?:seq)?(\d{4})"),
    *(r"^(?P<city>[a-z]+)_(?:day|night)_", r"(?i)^run(?=\d)", r"^((?:[0-9]{4}-){2}[0-9]{2})T", ""),
)
TEXTS = ("P12_34_5", "Image_07_1", "case0001_slice003", "ab_cd_7", "seq0017", "aachen_night_3",
         "RUN7", "2026-11-26T10", "a_b_c_d_e", "x")  # fmt: skip


@pytest.mark.parametrize("expression", USUAL)
def test_usual_ones_match_as_in_python(expression: str) -> None:
    regex, usual = Regex(expression), re.compile(expression)
    for text in TEXTS:
        found, expected = regex.search(text), usual.search(text)
        assert (found and found.regs) == (expected and expected.regs)
        assert bool(regex.fullmatch(text)) == bool(usual.fullmatch(text))


@pytest.mark.parametrize(
    "expression",
    ["(a+)+b", "(a|a)+b", "((a?){30}){30}x", "(x+x+)+y", "(?:.*a){20}", "(.*)*", "(?>(a*)*)b",
     "(?=(a+)+b)a", "(a)?(?(1)(a+)+|c)b", "(", "a{99999999999}"],
)  # fmt: skip
def test_what_can_take_forever_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"can take forever|is not a regular expression"):
        Regex(expression)


@pytest.mark.parametrize("expression", ["a*" * 9 + "b", "(a*)(a*)(a*)(a*)(a*)(a*)(a*)x", "a*?" * 8])
def test_many_repetitions_are_refused_on_long_names_only(expression: str) -> None:
    regex = Regex(expression)
    began = time.perf_counter()
    regex.search("a" * 8)
    with pytest.raises(ValueError, match="too many repetitions for a text of 255"):
        regex.search("a" * 255)
    assert time.perf_counter() - began < 5


def folder(root: Path, **options: object) -> Folder:
    for kind in ("i", "m"):
        (root / kind / "train").mkdir(parents=True)
        (root / kind / "train" / ("a" * 60 + ".png")).touch()
    patterns = {"images": "i/{split}/{name}.png", "masks": "m/{split}/{name}.png"}
    return Folder(str(root), classes=["a", "b"], **{**patterns, **options})


def test_a_data_set_error_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"group_regex '\(a\+\)\+b' repeats"):
        folder(tmp_path / "1", group_regex="(a+)+b")
    with pytest.raises(DataError, match=r"data\.group_regex .* too many repetitions"):
        folder(tmp_path / "2", group_regex="a*" * 9 + "b").records("train")
    assert folder(tmp_path / "3", group_regex="^(a+)").records("train")[0].group == "a" * 60


def test_patterns_of_files_are_bounded_too(tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["folder of a usual name"] * 6)
    deep.mkdir(parents=True)
    (deep / "image_0001_left.png").touch()
    assert list(find_files(tmp_path, "*/*/*/*/*/*/{name}_left.png")) == ["image_0001"]
    assert list(find_files(tmp_path, "**/{name}_*.*")) == ["image"]
    (tmp_path / ("a" * 200 + ".png")).touch()
    with pytest.raises(DataError, match=r"data\.images: '.*' has too many \* for paths"):
        find_files(tmp_path, "*a" * 20 + "b{name}.png", key="data.images")
