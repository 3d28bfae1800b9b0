"""Names of what is predicted."""

import pytest

from segbench.errors import DataError
from segbench.inference.inputs import find_sources


@pytest.fixture
def photos(tmp_path):
    for name in ("a.png", "b.jpg", "more/c.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_sources_are_named_after_their_place(photos):
    assert list(find_sources(str(photos))) == ["a", "b", "more/c"]
    assert list(find_sources(f"{photos}/*.png")) == ["a"]
    assert list(find_sources(f"{photos}/**/*.png")) == ["a", "more/c"]
    assert find_sources(f"{photos}/b.jpg") == {"b": photos / "b.jpg"}


def test_two_files_of_one_name_keep_their_suffix(photos):
    (photos / "a.mp4").touch()
    assert set(find_sources(str(photos))) == {"a.mp4", "a.png", "b", "more/c"}


def test_nothing_to_predict_is_an_error(tmp_path):
    with pytest.raises(DataError, match="contains no image and no video"):
        find_sources(str(tmp_path))
    with pytest.raises(DataError, match="no file or folder"):
        find_sources(f"{tmp_path}/*.png")


def test_an_empty_source_is_not_the_working_directory() -> None:
    with pytest.raises(DataError, match="source: is empty"):
        find_sources("")
