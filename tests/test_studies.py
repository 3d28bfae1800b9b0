"""The studies of experiments/, each from its data layout to its output, at tiny scale."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segbench.artifacts.run_directory import RunDirectory
from segbench.compare import compare
from segbench.data.sources.camvid import CLASSES_32
from segbench.evaluate import evaluate
from segbench.inference.sheets import PANEL_WIDTH
from segbench.models.hrnet import HRNet
from segbench.predict import predict
from segbench.train import train
from tests.conftest import run_verb
from tests.data import writers

TINY = (
    "data.batch_size=2",
    "data.num_workers=0",
    "trainer=cpu",
    "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
    "trainer.enable_progress_bar=false",
    "logger=csv",
    "samples=1",
    "samples_every=1",
)
SMALL = ("data.resize=[32,48]", "data.crop_size=[32,48]")


@pytest.fixture
def study(compose, tmp_path, monkeypatch):
    """`study("NAME", "seed=1", ...)` trains one job of a study at tiny scale below `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *overrides: str) -> RunDirectory:
        last = {text.split("=", 1)[0]: text for text in (*TINY, *overrides)}
        outcome = train(compose(name, "hydra.mode=RUN", *last.values()))
        assert outcome.status == "finished"
        return RunDirectory(outcome.run_dir)

    return run


def picture(file: Path) -> np.ndarray:
    found = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert found is not None, f"{file} is no picture"
    return found


@pytest.mark.slow
def test_a_checkpoint_of_camvid32_loaded_again_predicts_the_same(compose, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writers.write_camvid(tmp_path / "camvid", kaggle=True)
    words = ("data.root=camvid", "model.width=8", "seed=0", *SMALL, *TINY)
    done = run_verb("train", "-cn", "camvid32_custom_vs_unet", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = Path("runs/camvid32_custom_vs_unet")
    comparison = json.loads((runs / "report/comparison.json").read_text())
    assert len(comparison["pairs"]) == 1
    for model in ("custom", "unet"):
        run = RunDirectory(runs / f"{model}-camvid/seed0")
        assert len(run.read_result().classes.names) == 32
        evaluate(compose("evaluate", f"ckpt={run.last_checkpoint}", f"run_dir=again/{model}"))
        names, _, counted = run.read_confusion()
        again, _, recounted = RunDirectory(f"again/{model}").read_confusion()
        assert names == again
        assert np.array_equal(counted, recounted)


def test_label_ids_of_cityscapes_become_a_contiguous_series(study, tmp_path):
    root = writers.write_cityscapes(tmp_path / "cityscapes")
    run = study(
        "cityscapes_unet_resnet34_dice",
        f"data.root={root}",
        "data.resize=[32,32]",
        "model.encoder_name=resnet18",
        "model.decoder_channels=[16,8,8,8,4]",
    )
    ids = {
        int(label_id)
        for file in root.glob("gtFine/*/*/*_labelIds.png")
        for label_id in np.unique(picture(file))
    }
    assert max(ids) >= len(ids), "the raw values should have gaps"
    result = run.read_result()
    assert list(result.classes.names) == [f"label {label_id}" for label_id in sorted(ids)]
    assert result.protocol.resolution == "original"
    assert result.config["loss"]["_target_"].endswith("overlap.Dice")
    _, groups, matrices = run.read_confusion()
    assert set(groups) == {"valcity0", "valcity1"}
    assert matrices.sum() == writers.COUNTS["val"] * writers.SIZE[0] * writers.SIZE[1]


@pytest.mark.slow
def test_hrnet_weights_with_33_outputs_predict_a_folder_without_background(
    study, compose, tmp_path
):
    torch.manual_seed(0)
    network = HRNet(num_classes=33, width=4)
    with torch.no_grad():  # otherwise this model would predict only Background
        network.head[-1].bias[0] = 1e3
    official = {f"model.{key.replace('head.', 'last_layer.')}": value
                for key, value in network.state_dict().items()}  # fmt: skip
    torch.save(official, tmp_path / "hrnet.pth")
    root = writers.write_camvid(tmp_path / "camvid", kaggle=True)
    words = (f"data.root={root}", "model.width=4", "weights=hrnet.pth", *SMALL)
    run = study("hrnet_camvid_predict", *words, "trainer.max_epochs=0")
    names = run.read_result().classes.names
    assert list(names) == ["Background", *CLASSES_32.names]
    loaded = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(loaded[f"model.{k}"], v) for k, v in network.state_dict().items())

    source = (f"ckpt={run.last_checkpoint}", f"source={root}/test")
    file = "Seq05VD_f00000.png"
    assert predict(compose("predict", *source, "output=all", "write=[ids]")) == 0
    assert set(np.unique(picture(Path("all/ids") / file))) == {0}
    kinds = "write=[ids,color,probs,overlay,side_by_side]"
    drop = "drop_class=Background"
    assert predict(compose("predict", *source, "output=before", kinds, drop)) == 0
    cleaned = ("output=after", kinds, drop, "majority_window=5", "min_region=200")
    assert predict(compose("predict", *source, *cleaned)) == 0
    for output in ("before", "after"):
        ids = picture(Path(output) / "ids" / file)
        assert ids.ndim == 2
        assert 1 <= ids.min() <= ids.max() <= 32
        assert picture(Path(output) / "color" / file).shape == (*writers.SIZE, 3)
        for kind in ("overlay", "side_by_side"):
            assert picture(Path(output) / kind / file).shape[1] >= writers.SIZE[1]
        per_class = {path.stem for path in (Path(output) / "probs" / Path(file).stem).iterdir()}
        assert per_class >= set(CLASSES_32.names)


@pytest.mark.slow
def test_hrnet_weights_of_another_set_are_tuned_to_33_outputs(study, tmp_path, capsys):
    torch.save(HRNet(num_classes=19, width=4).state_dict(), tmp_path / "hrnet.pth")
    root = writers.write_camvid(tmp_path / "camvid", kaggle=True)
    words = (f"data.root={root}", "model.width=4", "weights=hrnet.pth", *SMALL)
    run = study("hrnet_camvid_predict", *words)
    assert "head.3.weight: 19x60x1x1 -> 33x60x1x1" in capsys.readouterr().out
    assert run.read_result().budget.epochs == 1


@pytest.mark.slow
def test_fcn_unet_and_segnet_end_in_a_report_of_both_scores(study, compose, tmp_path):
    root = writers.write_camvid11(tmp_path / "camvid11")
    words = (f"data.root={root}", "data.crop_size=[32,48]", "seed=0")
    study("fcn_unet_segnet", "model=fcn", "model.fc_channels=8", *words)
    study("fcn_unet_segnet", "model=unet", "model.width=4", *words)
    study("fcn_unet_segnet", "model=segnet", *words)
    assert compare(compose("compare", "study=fcn_unet_segnet", "baseline=unet", "wandb=false")) == 0
    report = (tmp_path / "runs/fcn_unet_segnet/report/report.md").read_text()
    for word in ("fcn", "unet", "segnet", "mIoU", "pixel_acc"):
        assert word in report, f"the report lacks {word}"


def test_composites_write_a_sheet_per_epoch_and_a_film_strip(study, tmp_path):
    root = writers.write_pairs(tmp_path / "pairs") / "cityscapes_data"
    for old, new in (("5", "2700"), ("6", "2900")):  # their places in ulm and zurich
        (root / "train" / f"{old}.jpg").rename(root / "train" / f"{new}.jpg")
    run = study(
        "cityscapes_pairs_unet",
        f"data.root={root}",
        "data.crop_size=[32,32]",
        "model.width=4",
        "model.depth=2",
        "trainer.max_epochs=9",
        "early_stopping=2",
        "optimizer.lr=0",  # nothing is learned, so the score soon stops increasing
    )
    epochs = run.read_result().budget.epochs
    assert 3 <= epochs < 9, "training should have stopped early"
    pictures = sorted(file.name for file in run.samples.iterdir())
    assert pictures == [*(f"epoch{n + 1:04d}.png" for n in range(epochs)), "film_strip.png"]
    strip = picture(run.samples / "film_strip.png")
    assert strip.shape[1] == (1 + epochs) * (PANEL_WIDTH + 8) - 8
    sheet = picture(run.samples / f"epoch{epochs:04d}.png")
    pred = sheet[48 : 48 + PANEL_WIDTH, 2 * (PANEL_WIDTH + 8) :][:, :PANEL_WIDTH]
    assert np.array_equal(strip[24 : 24 + PANEL_WIDTH, -PANEL_WIDTH:], pred)
