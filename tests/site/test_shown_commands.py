"""Every command on a page is one that segbench accepts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser

from segbench.config.compose import read_command, register
from segbench.config.named_models import as_list
from segbench.config.schema import SCHEMAS
from segbench.errors import ConfigError
from segbench.init import init
from tests.site.pages import PAGES, Shown, commands

LAUNCHER = ("hydra/launcher", "hydra.launcher")  # not installed everywhere
# What a reader has made before: results of a search, and options of the pages themselves.
MADE = {
    "runs/tune_streets/tuned/custom.yaml": "# @package _global_\ntuning_trials: 2\n",
    "runs/tune_streets/tuned/unet_resnet34.yaml": "# @package _global_\ntuning_trials: 2\n",
}
SHOWN = [command for page in PAGES for command in commands(page)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project of `segbench init`, as the pages assume."""
    folder = tmp_path_factory.mktemp("project")
    init(folder)
    for name, text in MADE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        register()
        yield folder


def check(shown: Shown) -> None:
    """Raises ConfigError unless the command composes."""
    if shown.verb == "init":
        assert len(shown.words) == 1
        return
    assert shown.verb in SCHEMAS, f"there is no command {shown.verb}"
    words = list(shown.words)
    if "--help" in words:
        return
    if shown.verb == "explain" and "=" not in words[0]:
        words[0] = f"what={words[0]}"
    parsed = get_args_parser().parse_intermixed_args(words)
    arguments = [word for word in parsed.overrides if not word.startswith(LAUNCHER)]
    if shown.verb in ("explain", "benchmark"):
        arguments = [as_list(word) for word in arguments]
    read_command(parsed.config_name or shown.verb, arguments, parsed.multirun)


def test_there_are_commands_to_check() -> None:
    assert len(SHOWN) > 80
    assert {shown.verb for shown in SHOWN} >= {*SCHEMAS, "init"}


def test_every_command_on_a_page_is_accepted(project: Path) -> None:
    wrong = []
    for shown in dict.fromkeys(SHOWN):
        try:
            check(shown)
        except (ConfigError, AssertionError) as error:
            wrong.append(f"{shown}\n    {error}")
    assert not wrong, "\n".join(wrong)
