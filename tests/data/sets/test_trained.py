"""Every data set trains two steps, and what comes out is evaluated and predicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.segmenter import Segmenter
from segbench.config.compose import compose_checked
from segbench.data.decoding import decode_rgb
from segbench.evaluate import evaluate
from segbench.train import train
from tests.data.sets.known import SETS, config_of
from tests.data.sets.layouts import HEIGHT, WIDTH

SHORT = (
    *("data.crop_size=[24,32]", "data.batch_size=1", "selection=last"),
    *("trainer.max_epochs=1", "trainer.limit_train_batches=2"),
)


def own(config: Any) -> Any:
    return OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SETS))
def test_a_set_is_trained_evaluated_and_predicted(
    name: str, tmp_path: Path, tiny_config: Callable[..., Any]
) -> None:
    trained = "acdc" if "train" in SETS[name].absent else name  # it has the same classes
    for each in {name, trained}:
        SETS[each].write(tmp_path / each)
    config = tiny_config(f"data={trained}", f"data.root={tmp_path / trained}", *SHORT)
    for key, value in SETS[trained].config.items():
        OmegaConf.update(config, f"data.{key}", value, merge=False)
    assert train(own(config)).status == "finished"
    run = RunDirectory(tmp_path / "run")
    assert run.read_result().data_info.protocol == config_of(trained)["protocol"]

    split = "test" if "test" in SETS[name].files else "val"
    words = [f"ckpt={run.last_checkpoint}", f"run_dir={tmp_path}/evaluated", f"split={split}"]
    if trained != name:
        words += [f"data={name}", f"data.root={tmp_path / name}"]
    assert evaluate(own(compose_checked("evaluate", words))).status == "finished"
    result = RunDirectory(tmp_path / "evaluated").read_result()
    assert 0 <= result.scores[split].mIoU <= 1

    image = tmp_path / name / SETS[name].files[split][0][0]
    pixels = decode_rgb(image.read_bytes(), image)
    labels = Segmenter(run.last_checkpoint).predict(pixels).labels
    assert labels.shape == (HEIGHT, WIDTH)
    assert labels.max() < SETS[name].classes
