"""The Python interface: one file in, label maps and probabilities out."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import segbench
from segbench.artifacts import default_checkpoint
from segbench.artifacts import segmenter as module
from segbench.artifacts.segmenter import Segmenter
from segbench.errors import ConfigError, DataError
from segbench.inference.predictor import Predictor

PHOTO = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)


def test_a_photo_gives_labels_probabilities_and_their_meaning(ckpt, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    found = segbench.load(ckpt).predict(tmp_path / "photo.png")
    assert found.labels.shape == (37, 53)
    assert found.labels.dtype == np.uint8
    assert found.probs.shape == (11, 37, 53)
    np.testing.assert_allclose(found.probs.sum(0), 1, rtol=1e-5)
    assert np.array_equal(found.labels, found.probs.argmax(0))
    assert found.classes.names[3] == "Road"


def test_labels_without_probs_are_the_same_labels(ckpt):
    model = segbench.load(ckpt)
    alone = model.predict(PHOTO, with_probs=False)
    assert alone.probs is None
    assert np.array_equal(alone.labels, model.predict(PHOTO).labels)


def test_images_are_resized_to_the_height_used_in_training(make_checkpoint):
    file = make_checkpoint(protocol={"resize": [20, 30], "precision": "32-true"})
    assert Segmenter(file).seen_size((40, 60)) == (20, 30)
    assert Segmenter(file).seen_size((40, 100)) == (20, 50)
    assert Segmenter(file).seen_size((4, 60)) == (20, 300)  # a panorama
    assert Segmenter(file).seen_size((1, 5000)) == (1, 6928)  # 20 rows would be 2 megapixels
    assert Segmenter(file).seen_size((1, 10**6)) == (1, 10**6)
    assert Segmenter(file).seen_size((10**4, 10**5)) == (20, 200)
    assert Segmenter(file, resize=None).seen_size((40, 60)) == (40, 60)
    assert Segmenter(file, resize=[8, 9]).seen_size((40, 60)) == (8, 9)
    assert Segmenter(file).predict(PHOTO).labels.shape == (37, 53)


def test_single_pixels_and_dropped_classes(ckpt):
    found = Segmenter(ckpt, drop_class="Sky").predict(PHOTO[:1, :1])
    assert found.labels.shape == (1, 1)
    assert "Sky" not in found.classes.names
    assert found.probs.shape == (10, 1, 1)


def test_large_images_are_predicted_in_windows(ckpt, monkeypatch):
    model = Segmenter(ckpt)
    whole = model.predict(PHOTO)
    assert not whole.in_windows
    monkeypatch.setattr(module, "WHOLE_LIMIT", 100)
    windowed = model.predict(PHOTO)
    assert windowed.in_windows
    assert np.array_equal(windowed.labels, whole.labels)  # one window covers all of it
    monkeypatch.setattr(module, "PROBS_LIMIT", 100)
    with pytest.raises(DataError, match=r"53x37 pixels is too large .* predict labels only"):
        model.predict(PHOTO)
    assert np.array_equal(model.predict(PHOTO, with_probs=False).labels, whole.labels)
    mirrored = Segmenter(ckpt, {**model.inference, "flip": True})
    with pytest.raises(DataError, match="predict without TTA"):
        mirrored.predict(PHOTO, with_probs=False)


def test_the_memory_for_a_large_image_is_that_of_a_row_of_windows(ckpt, monkeypatch):
    seen = []

    def forward(image):
        seen.append(image.numel())
        return torch.zeros(1, 11, *image.shape[2:])

    monkeypatch.setattr(module, "WHOLE_LIMIT", 100)
    monkeypatch.setattr(module, "LARGE_WINDOW", (16, 16))
    monkeypatch.setattr(module, "LARGE_STRIDE", (12, 12))
    model = Segmenter(ckpt, device="cpu")
    monkeypatch.setattr(model.predictor.model, "forward", forward)
    normalized = []
    normalize = Predictor.normalize
    monkeypatch.setattr(
        Predictor, "normalize", lambda *of: normalized.append(of[1].numel()) or normalize(*of)
    )
    assert model.predict(PHOTO, with_probs=False).labels.shape == (37, 53)
    assert len(seen) == 3 * 5
    assert max(seen) == max(normalized) == 3 * 16 * 16


def test_wrong_input_is_explained(ckpt, tmp_path):
    model = segbench.load(ckpt)
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\] RGB, not float64 \[2, 2\]"):
        model.predict(np.zeros((2, 2)))
    with pytest.raises(ConfigError, match=r"no\.ckpt: there is no such file"):
        segbench.load(tmp_path / "no.ckpt")
    with pytest.raises(ConfigError, match="not a device"):
        segbench.load(ckpt, device="fridge")


def test_without_a_checkpoint_the_shipped_one_is_taken(ckpt, tmp_path, monkeypatch):
    monkeypatch.setattr(default_checkpoint, "ASSETS", ckpt.parent)
    assert segbench.load().ckpt == segbench.load("shipped").ckpt == ckpt
    monkeypatch.setattr(default_checkpoint, "ASSETS", tmp_path)
    with pytest.raises(ConfigError, match="set ckpt=PATH"):
        segbench.load()


def test_a_checkpoint_may_not_name_foreign_code(make_checkpoint):
    inference = {"_target_": "os.system", "command": "true"}
    good = segbench.load(make_checkpoint()).meta["config"]
    file = make_checkpoint(config={**good, "inference": inference})
    with pytest.raises(ConfigError, match=r"not in conf/inference, 'os\.system'"):
        segbench.load(file)


def test_importing_segbench_does_not_import_torch():
    code = "import sys, segbench; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
