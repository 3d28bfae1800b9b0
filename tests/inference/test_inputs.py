"""Names of the images and videos to predict."""

import os

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
    with pytest.raises(DataError, match="contains no images and no videos"):
        find_sources(str(tmp_path))
    with pytest.raises(DataError, match="no file or folder"):
        find_sources(f"{tmp_path}/*.png")


def test_photos_of_a_format_that_is_not_read_are_named(photos, capsys):
    files = find_sources(str(photos), own=[photos / "written"])
    for name in ("IMG_1.HEIC", "IMG_2.heic", "more/c.avif", "written/d.heic"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).touch()
    assert capsys.readouterr().err == ""
    assert find_sources(str(photos), own=[photos / "written"]) == files
    said = " ".join(capsys.readouterr().err.split())
    assert said.endswith("left out: 1 .avif, 2 .heic; convert them to JPEG or PNG")
    for file in ("a.png", "b.jpg", "more/c.png"):
        (photos / file).unlink()
    with pytest.raises(DataError, match=r"can be read; convert its \.avif, \.heic files to JPEG"):
        find_sources(str(photos))


def test_arrays_are_read_if_they_are_named(tmp_path):
    (tmp_path / "a.npy").touch()
    with pytest.raises(
        DataError, match=r"no images and no videos; for its \.npy files, set source="
    ):
        find_sources(str(tmp_path))
    assert list(find_sources(f"{tmp_path}/**/*.npy")) == ["a"]


def test_a_folder_that_may_not_be_read_is_named(photos, monkeypatch):
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith("more"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr("segbench.data.folders.os.scandir", refuse)
    with pytest.raises(DataError, match=r"more: this folder may not be read \(Permission denied\)"):
        find_sources(str(photos))


def test_an_empty_source_is_not_the_working_directory() -> None:
    with pytest.raises(DataError, match="source: is empty"):
        find_sources("")


def test_earlier_output_is_not_predicted(photos):
    for kind in ("ids", "overlay"):
        (photos / "seen" / kind).mkdir(parents=True)
        (photos / "seen" / kind / "a.png").touch()
    (photos / "seen" / "mine.png").touch()
    own = [photos / "seen" / kind for kind in ("ids", "overlay", "color")]
    expected = ["a", "b", "more/c", "seen/mine"]
    assert list(find_sources(str(photos), own)) == expected
    assert list(find_sources(f"{photos}/**/*.png", own)) == ["a", "more/c", "seen/mine"]
    (photos / "link").symlink_to(photos / "seen" / "ids")
    assert list(find_sources(str(photos), own)) == expected
    assert list(find_sources(str(photos / "seen" / "ids"), own)) == ["a"]  # named explicitly


def test_what_an_earlier_prediction_wrote_elsewhere_is_left_out_with_a_note(photos, capsys):
    for name in ("seen/ids/a.png", "seen/overlay/more/c.png", "seen/volumes/d.nii.gz", "ids/e.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).touch()
    everything = list(find_sources(str(photos)))
    assert {"seen/ids/a", "seen/overlay/more/c", "seen/volumes/d", "ids/e"} < set(everything)
    assert capsys.readouterr().err == ""
    (photos / "seen/predictions.json").touch()
    kept = ["a", "b", "ids/e", "more/c"]
    assert list(find_sources(str(photos))) == kept
    said = " ".join(capsys.readouterr().err.split())
    assert "left out: 3 files that earlier predictions wrote, in " in said
    assert "seen/ids and others; to predict them, name their folder" in said
    assert list(find_sources(f"{photos}/**/*.png")) == ["a", "ids/e", "more/c"]
    assert list(find_sources(f"{photos}/seen/ids/*.png")) == ["a"]
    assert list(find_sources(f"{photos}/seen/overlay")) == ["more/c"]
    assert list(find_sources(f"{photos}/seen/ids/a.png")) == ["a"]
    with pytest.raises(DataError, match=r"contains only what earlier predictions wrote, in .*ids"):
        find_sources(f"{photos}/seen")


def test_relative_sources_also_leave_out_earlier_output(photos, monkeypatch):
    (photos / "out/ids").mkdir(parents=True)
    (photos / "out/ids/a.png").touch()
    (photos / "out/predictions.json").touch()
    monkeypatch.chdir(photos)
    assert list(find_sources(".")) == ["a", "b", "more/c"]
    assert list(find_sources("**/*.png")) == ["a", "more/c"]
    assert list(find_sources("out/../out/ids")) == ["a"]


def test_links_are_followed_and_hidden_files_and_pipes_left_out(photos, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "d.png").touch()
    (photos / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(photos)
    (photos / ".hidden").mkdir()
    for name in (".hidden/x.png", "._a.png"):
        (photos / name).touch()
    os.mkfifo(photos / "pipe.png")
    assert list(find_sources(str(photos))) == ["a", "b", "link/d", "more/c"]


def test_a_tilde_is_the_home_directory(photos, monkeypatch):
    monkeypatch.setenv("HOME", str(photos))
    assert list(find_sources("~/more")) == ["c"]
    assert find_sources("~/b.jpg") == {"b": photos / "b.jpg"}
    assert list(find_sources("~/*.png")) == ["a"]
