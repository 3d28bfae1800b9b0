"""Jobs of a sweep never share a run directory: swept keys are in the name, or refused."""

from __future__ import annotations

import pytest
from hydra.core.hydra_config import HydraConfig

from segbench.config.compose import read_command, register
from segbench.config.run_names import named_keys, suffixed
from segbench.config.tuning import swept_values
from segbench.errors import ConfigError


def named(*words: str, name: str = "train") -> tuple[str, ...]:
    register()
    found = read_command(name, list(words), multirun=True)
    return named_keys(found.config, swept_values(found.config, found.arguments))


def test_model_data_and_seed_have_their_places_already() -> None:
    assert named("model=unet,custom", "seed=0,1") == ()


def test_any_other_swept_key_is_added_to_the_name() -> None:
    assert named("optimizer.lr=0.1,0.2", "seed=0,1") == ("optimizer.lr",)
    assert named("loss=ce,dice", "samples=1,2", "optimizer.lr=0.1") == ("loss", "samples")
    assert named("model=unet,custom", "name=mine", "seed=0,1") == ("model",)


def test_a_name_that_contains_the_swept_key_is_unchanged() -> None:
    assert named(name="loss_ablation") == ()
    words = ["name='net-${optimizer.lr}'", "optimizer.lr=0.1,0.2"]
    assert named(*words) == ()


def test_numbers_that_differ_in_their_sign_have_names_of_their_own() -> None:
    assert named("optimizer.lr=0.1,-0.1") == ("optimizer.lr",)


def test_jobs_that_would_share_a_directory_are_refused_before_the_first() -> None:
    with pytest.raises(ConfigError, match=r"seed=0 and seed=1 would both write to here"):
        named("run_dir=here", "seed=0,1")
    with pytest.raises(ConfigError, match=r"seed=3: occurs twice in the sweep"):
        named("seed=3,3")


def test_a_verb_without_run_directories_has_no_names() -> None:
    assert named("source=a,b", name="predict") == ()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["optimizer.lr=0.001"], "unet_resnet18_lr=0.001-streets"),
        (["optimizer.lr=1e-05", "loss=dice"], "unet_resnet18_lr=1e-05_loss=dice-streets"),
        (["data.size=[48,64]"], "unet_resnet18_size=48-64-streets"),
        (
            ["optimizer.lr=1", "scheduler.lr=2"],
            "unet_resnet18_optimizer.lr=1_scheduler.lr=2-streets",
        ),
        (["weights='/a b/c.ckpt'"], "unet_resnet18_weights=a-b-c.ckpt-streets"),
    ],
)
def test_the_name_is_one_of_a_file(words: list[str], expected: str) -> None:
    register()
    config = read_command("train", []).config
    HydraConfig.instance().set_config(config)
    keys = [word.partition("=")[0] for word in words]
    assert suffixed(config, keys, [*words, "seed=3"]) == expected
