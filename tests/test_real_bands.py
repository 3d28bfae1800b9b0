"""Real images that are not photographs, through every verb by YAML alone.

The data are inside of packages: Indian Pines (200 bands of 16 bits, 16 crops) in tensorly, and the
MNI152 template (a NIfTI volume with maps of its tissues) in nilearn.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from segbench.artifacts.run_directory import RunDirectory
from segbench.check_data import main as check_data
from segbench.compare import compare
from segbench.config.compose import compose_checked, register
from segbench.evaluate import evaluate
from segbench.explain import explain
from segbench.export import export
from segbench.predict import predict
from segbench.train import train

pytestmark = pytest.mark.slow
SMALL = (
    *("model=unet", "model.width=8", "model.depth=2", "trainer=cpu", "data.num_workers=0"),
    *("logger=csv", "selection=last", "samples=1", "trainer.enable_progress_bar=false"),
)
FEW = ("num_workers=0", "gallery=1", "boundary=false", "calibration=false", "device=cpu")


def folder_of(package: str, below: str) -> Path:
    """A folder inside of an installed package, which is not imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {package} is not installed")
    return Path(spec.origin).parent / below


def write_pines(root: Path) -> dict[str, Any]:
    """Cuts the scene into 5 x 5 tiles; the rows of tiles are groups."""
    stored = folder_of("tensorly", "datasets/data")
    scene, labels = (np.load(stored / f"Indian_pines_{k}.npy") for k in ("corrected", "gt"))
    for name, array in (("images", scene), ("masks", labels)):
        (root / name).mkdir(parents=True)
        for row, strip in enumerate(np.split(array, 5)):
            for column, tile in enumerate(np.split(strip, 5, axis=1)):
                np.save(root / name / f"row{row}_{column}.npy", tile)
    return {
        "images": "images/{name}.npy", "masks": "masks/{name}.npy", "group_regex": "row[0-9]",
        "label_map": "auto", "ignore_values": [0], "batch_size": 4, "crop_size": [29, 29],
    }  # fmt: skip


def write_brain(root: Path) -> dict[str, Any]:
    """Cuts the template into five volumes; the most probable tissue is the label."""
    nibabel = pytest.importorskip("nibabel", reason="the extra medical is not installed")
    stored = folder_of("nilearn", "datasets/data")
    maps = [
        nibabel.load(stored / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz")
        for kind in ("t1", "gm", "wm")
    ]
    image, gray, white = (np.asanyarray(each.dataobj) for each in maps)
    labels = (image > 0).astype(np.uint8)
    image = image.astype(np.int16) * 9 - 40  # as scanners store it
    for value, (own, other) in {2: (gray, white), 3: (white, gray)}.items():
        labels[(own > own.max() // 2) & (own >= other)] = value
    for number in range(5):
        part = slice(60 + 15 * number, 64 + 15 * number)
        for name, array in (("t1", image), ("tissue", labels)):
            (root / name).mkdir(parents=True, exist_ok=True)
            volume = nibabel.Nifti1Image(array[:, :, part], maps[0].affine)
            nibabel.save(volume, root / name / f"part{number}.nii.gz")
    return {
        "images": "t1/{name}.nii.gz", "masks": "tissue/{name}.nii.gz",
        "classes": ["outside", "rest", "gray", "white"], "batch_size": 2, "crop_size": [96, 96],
    }  # fmt: skip


SETS: dict[str, tuple[Callable[[Path], dict[str, Any]], list[int], str, int]] = {
    "pines": (write_pines, [29, 19, 9], "images/*.npy", 8),
    "brain": (write_brain, [0], "t1/*.nii.gz", 1),
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`run(verb, "train", "seed=1", ...)` runs a verb in `tmp_path`, as its command does."""
    monkeypatch.chdir(tmp_path)

    def run(verb: Callable[[Any], Any], name: str, *words: str) -> Any:
        register()
        config = compose_checked(name, list(words))
        from hydra.core.hydra_config import HydraConfig

        HydraConfig.instance().set_config(config)
        return verb(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))

    return run


@pytest.mark.parametrize("name", SETS)
def test_what_the_check_proposes_is_all_that_a_new_kind_of_image_needs(
    name: str, tmp_path: Path, run: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    write, chosen, seen, epochs = SETS[name]
    config = {"defaults": ["folder", "_self_"], "root": name, "ratio": [0.6, 0.2, 0.2]}
    config |= write(tmp_path / name)
    file = tmp_path / "conf" / "data" / f"{name}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(config))
    assert run(check_data, "check_data", f"data={name}") == 1
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) <= 24  # one screen
    copied = [line[4:] for line in printed if line.startswith("    ")]
    file.write_text("\n".join([yaml.safe_dump(config), *copied]) + "\n")
    assert run(check_data, "check_data", f"data={name}") == 0, capsys.readouterr().out

    words = (f"data={name}", *SMALL, f"trainer.max_epochs={epochs}")
    all_bands = run(train, "train", *words, "study=s", "name=all")
    fewer = (f"data.channels={chosen}", "data.show=null")
    few = run(train, "train", *words, *(fewer if name == "pines" else ()), "study=s", "name=few")
    assert all_bands.score > 0.1
    audit = ("varies=[bands of the images]", "wandb=false", "replicates=200")
    assert run(compare, "compare", "study=s", "baseline=few", *audit) == 0
    assert few.status == "finished"

    ckpt = tmp_path / "runs/s/all/seed0/checkpoints/last.ckpt"
    given = (f"ckpt={ckpt}", *FEW)
    scored = run(evaluate, "evaluate", *given, "run_dir=direct", "split=test")
    assert scored.score == pytest.approx(all_bands.score, abs=1e-6)
    source = f"source={tmp_path / name}/{seen}"
    assert run(predict, "predict", f"ckpt={ckpt}", source, "output=seen") == 0
    count = len(list((tmp_path / "seen" / "ids").iterdir()))
    assert count == len(list((tmp_path / "seen" / "side_by_side").iterdir())) > 3
    run(explain, "explain", f"ckpt={ckpt}", "images=1", "output=why", "device=cpu")
    run(export, "export", f"ckpt={ckpt}", "output=net.onnx", "images=2")
    by_onnx = run(evaluate, "evaluate", "ckpt=net.onnx", *FEW, "run_dir=onnx")
    assert by_onnx.score == pytest.approx(scored.score, abs=1e-4)

    others = ("partial=true", "predictions=seen/ids", f"data={name}")  # of train and val
    run(evaluate, "evaluate", *others, *FEW, "run_dir=written")
    direct, written = (RunDirectory(Path(each)).read_confusion() for each in ("direct", "written"))
    assert direct[0] == written[0]
    np.testing.assert_array_equal(direct[2], written[2])
