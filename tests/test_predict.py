"""`python -m segbench.predict`: images, folders, globs and videos, and what can go wrong."""

import cv2
import numpy as np
import pytest
from PIL import Image

from segbench.artifacts.segmenter import Segmenter
from segbench.errors import ConfigError, DataError
from segbench.predict import predict

RGB = np.random.default_rng(0).integers(0, 256, (21, 34, 3), np.uint8)


@pytest.fixture
def run(compose, ckpt, tmp_path):
    return lambda *words: predict(
        compose("predict", f"ckpt={ckpt}", f"output={tmp_path}/out", *words)
    )


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "more/c.png"):
        Image.fromarray(RGB).save(folder / name)
    return folder


def read(path):
    return np.array(Image.open(path))


def test_a_folder_gives_every_kind_of_image(run, ckpt, photos, tmp_path, capsys):
    assert run(f"source={photos}", "legend=false") == 0
    expected = Segmenter(ckpt).predict(photos / "a.png")
    out = tmp_path / "out"
    for name in ("a", "b", "more/c"):
        assert read(out / "ids" / f"{name}.png").shape == (21, 34)
    assert np.array_equal(read(out / "ids" / "a.png"), expected.labels)
    colors = expected.classes.decode(expected.labels)
    assert np.array_equal(read(out / "color" / "a.png"), colors)
    overlay = read(out / "overlay" / "a.png").astype(int)
    assert np.abs(overlay - (RGB.astype(int) + colors) / 2).max() <= 0.5
    assert read(out / "side_by_side" / "a.png").shape == (21, 34 * 2 + 8, 3)
    assert "3 of 3 images" in capsys.readouterr().out


def test_a_second_call_does_not_predict_the_output_of_the_first(run, tmp_path, capsys):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    for source in (tmp_path, tmp_path, f"{tmp_path}/**/*.png"):
        assert run(f"source={source}") == 0
        assert "1 of 1 images" in capsys.readouterr().out


def test_predictions_of_two_checkpoints_in_a_folder_are_noted(run, ckpt, tmp_path, capsys):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    for _ in range(2):
        assert run(f"source={tmp_path}/a.png") == 0
        assert "note" not in capsys.readouterr().err
    assert run(f"source={tmp_path}/a.png", "min_region=9") == 0
    assert "predictions of this checkpoint with other settings" in capsys.readouterr().err
    record = tmp_path / "out" / "predictions.json"
    record.write_text(record.read_text().replace('"sha256": "', '"sha256": "0'))
    assert run(f"source={tmp_path}/a.png", "min_region=9") == 0
    shown = capsys.readouterr().err
    assert f"predictions of another checkpoint, {ckpt}" in shown
    assert "set output=FOLDER" in shown
    record.write_text("[]")  # not ours, or damaged: nothing is known
    assert run(f"source={tmp_path}/a.png") == 0
    assert "note" not in capsys.readouterr().err


def test_chosen_classes_and_their_probabilities(run, ckpt, photos, tmp_path):
    found = Segmenter(ckpt).predict(photos / "a.png")
    label = int(np.bincount(found.labels.ravel()).argmax())
    name = found.classes.names[label]
    assert run(f"source={photos}/a.png", f"classes=[{name}]", "write=[ids,probs,overlay]") == 0
    ids = read(tmp_path / "out" / "ids" / "a.png")
    assert np.array_equal(ids, np.where(found.labels == label, label, 255))
    files = list((tmp_path / "out" / "probs" / "a").iterdir())
    assert [file.stem for file in files] == [name]
    assert np.abs(read(files[0]) / 255 - found.probs[label]).max() < 0.003
    assert read(tmp_path / "out" / "overlay" / "a.png").shape[0] > 21  # a legend below


def test_unreadable_images_do_not_stop_the_rest(run, photos, tmp_path, capsys):
    (photos / "broken.png").write_bytes((photos / "a.png").read_bytes()[:200])
    (photos / "text.jpg").write_text("hello")
    assert run(f"source={photos}", "write=[ids]") == 1
    assert len(list((tmp_path / "out" / "ids").rglob("*.png"))) == 3
    captured = capsys.readouterr()
    assert "3 of 5 images" in captured.out
    assert "broken.png: truncated after" in captured.err
    assert "text.jpg: a text file, not an image" in captured.err


def test_post_processing_removes_small_regions(run, photos, tmp_path):
    run(f"source={photos}/a.png", "write=[ids]")
    raw = read(tmp_path / "out" / "ids" / "a.png")
    run(f"source={photos}/a.png", "write=[ids]", "min_region=40", "majority_window=3")
    labels = read(tmp_path / "out" / "ids" / "a.png")
    assert not np.array_equal(raw, labels)
    for label in np.unique(labels):
        inside = (labels == label).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
        assert stats[1:, cv2.CC_STAT_AREA].min() >= 40


def test_a_video_comes_back_as_a_video(run, tmp_path, capsys):
    source = tmp_path / "drive.mp4"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"mp4v"), 10, (40, 30))
    for gray in (20, 90, 160, 230):
        writer.write(np.full((30, 40, 3), gray, np.uint8))
    writer.release()
    assert run(f"source={source}", "write=[ids,color]") == 0
    video = cv2.VideoCapture(str(tmp_path / "out" / "color" / "drive.mp4"))
    assert video.get(cv2.CAP_PROP_FPS) == 10
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    assert video.read()[1].shape == (30, 40, 3)
    ids = sorted((tmp_path / "out" / "ids" / "drive").iterdir())
    assert [file.name for file in ids] == [f"{i:06d}.png" for i in range(4)]
    assert "4 frames" in capsys.readouterr().out
    (tmp_path / "bad.mp4").write_text("hello")
    assert run(f"source={tmp_path}/bad.mp4") == 1


def test_impossible_commands_say_what_to_do(run, photos, tmp_path):
    with pytest.raises(DataError, match=r"no file or folder '.*nowhere'"):
        run(f"source={tmp_path}/nowhere")
    with pytest.raises(ConfigError, match="no class 'Raod'; did you mean 'Road'"):
        run(f"source={photos}", "classes=[Raod]")
    with pytest.raises(ConfigError, match=r"no 'overlays'; did you mean 'overlay'"):
        run(f"source={photos}", "write=[overlays]")
    with pytest.raises(ConfigError, match="write: names nothing; give some of ids, color, overlay"):
        run(f"source={photos}", "write=[]")
    with pytest.raises(ConfigError, match=r"a\.png: cannot be created \(it is a file\)"):
        run(f"source={photos}", f"output={photos}/a.png")
    with pytest.raises(ConfigError, match="alpha: must be between 0 and 1"):
        run(f"source={photos}", "alpha=7")
    with pytest.raises(ConfigError, match=r"resize: must be auto, null or \[H, W\]"):
        run(f"source={photos}", "resize=half")
