"""docs/config.md has every key that a command can show, with a meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from omegaconf import OmegaConf

from segbench.config.compose import compose_checked, register
from segbench.config.schema import SCHEMAS
from segbench.config.targets import target_nodes
from tests.site.pages import PAGES, assignments
from tools.config_files import GROUPS, options
from tools.config_keys import pipeline_keys, schema_keys, targets
from tools.config_page import PAGE, page, undocumented

EXAMPLES = (
    "data=folder data.root=x data.images={split}/{name}.png data.classes=[a,b] loss=ce_boundary",
    "model=pidnet_s callbacks=[gradient_norm,lr_finder] augment=[gamma] logger=[wandb,csv]",
    "trainer=ddp inference=slide optimizer=sgd scheduler=cosine model=custom data=cityscapes",
)
OF_NODES = ("_target_", "freeze", "checkpoint_activations")


def documented() -> dict[str, set[str]]:
    """The keys on the page: by target, and by verb for the top level."""
    found = {verb: {k.name for k in schema_keys(s, {})} for verb, s in SCHEMAS.items()}
    for group in GROUPS:
        for target in targets(group):
            found.setdefault(target.name, set()).update(key.name for key in target.keys)
    return found


def missing(config: Mapping[str, Any], known: Mapping[str, set[str]]) -> Iterator[str]:
    """The keys of a composed train config that the page does not have."""
    yield from (key for key in config if key not in known["train"])
    for group in GROUPS:
        for path, node in target_nodes(config.get(group), group):
            of_it = known.get(node["_target_"], set())
            beside = {key.name for key in pipeline_keys()} if group == "data" else set()
            unknown = set(node) - of_it - beside - set(OF_NODES)
            yield from (f"{path}.{key} of {node['_target_']}" for key in unknown)


def composed(words: str) -> dict[str, Any]:
    """The config of a training, unresolved."""
    config = OmegaConf.masked_copy(
        whole := compose_checked("train", words.split()), [k for k in whole if k != "hydra"]
    )
    found: Any = OmegaConf.to_container(config, resolve=False)
    return found


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make reference"


def test_every_key_has_a_meaning() -> None:
    assert undocumented() == []


@pytest.mark.parametrize("words", EXAMPLES)
def test_no_key_is_missing(words: str) -> None:
    register()
    assert list(missing(composed(words), documented())) == []


def test_a_missing_key_would_be_noticed() -> None:
    config = {"sede": 1, "loss": {"_target_": "segbench.losses.overlap.Dice", "smoth": 1}}
    found = list(missing(config, documented()))
    assert found == ["sede", "loss.smoth of segbench.losses.overlap.Dice"]


@pytest.mark.slow
@pytest.mark.parametrize("group", [group for group in GROUPS if group != "data"])
def test_no_key_of_any_option_is_missing(group: str) -> None:
    register()
    known = documented()
    for name in options(group):
        words = f"{group}={name}" + (" model.path=x" if name == "hf" else "")
        words += " loss=own model=eomt_vit_small" if name == "own" else ""
        assert list(missing(composed(words), known)) == [], name


def test_keys_in_running_text_exist() -> None:
    """`optimizer.lr=1e-3` on a page is a key of some option of `optimizer`."""
    known = {"data": {key.name for key in pipeline_keys()} | {"root"}, "model": set(OF_NODES)}
    for group in GROUPS:
        known.setdefault(group, set()).update(k.name for t in targets(group) for k in t.keys)
    known["compare"] = {key.name for key in schema_keys(SCHEMAS["compare"], {})}
    wrong = [
        f"{name}: {key}={value}"
        for name in PAGES
        for key, value in assignments(name)
        if (parts := key.split("."))[0] in known
        and parts[1] not in known[parts[0]]
        and not parts[1].isupper()  # a placeholder
    ]
    assert wrong == []
