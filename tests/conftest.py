"""A checkpoint as `segbench.train` writes it, of a tiny network that was never trained."""

import pytest
import torch
from omegaconf import OmegaConf

from segbench.config.compose import compose_checked, register
from segbench.data.streets import CLASSES, Streets
from segbench.models.custom import Custom

DATA = {
    "_target_": "segbench.data.streets.Streets",
    "size": [24, 33],
    "train": 8,
    "val": 2,
    "test": 5,
    "frames_per_drive": 2,
    "seed": 0,
    "num_workers": 0,
}
MODEL = {"_target_": "segbench.models.custom.Custom", "width": 8, "dilations": [2]}


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory):
    """Writes a checkpoint; keywords replace entries of its `segbench` part."""

    def make(**changes):
        torch.manual_seed(0)
        model = Custom(num_classes=11, width=8, dilations=[2])
        for _ in range(30):  # statistics for batch norm, so that the answer is not one class
            model(torch.randn(2, 3, 24, 33))
        inference = {"_target_": "segbench.inference.predictor.Predictor", "mode": "whole"}
        meta = {
            "format": 1,
            "config": {"data": DATA, "model": MODEL, "inference": inference,
                       "name": "custom-streets", "seed": 3},
            "classes": CLASSES.to_dict(),
            "mean": [0.4, 0.4, 0.4],
            "std": [0.3, 0.3, 0.3],
            "protocol": {"resize": None, "precision": "32-true"},
            "scores": {},
        }  # fmt: skip
        state = {f"model.{key}": value for key, value in model.state_dict().items()}
        file = tmp_path_factory.mktemp("ckpt") / "best.ckpt"
        torch.save({"state_dict": state, "segbench": meta | changes}, file)
        return file

    return make


@pytest.fixture(scope="session")
def ckpt(make_checkpoint):
    return make_checkpoint()


@pytest.fixture(scope="session")
def small_streets():
    """The data set of that checkpoint."""
    return Streets((24, 33), train=8, val=2, test=5, frames_per_drive=2, seed=0)


@pytest.fixture
def compose():
    """Composes and checks a verb's config as the command line does."""

    def compose(verb, *words):
        register()
        config = compose_checked(verb, list(words))
        return OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])

    return compose
