"""Every command on a page is one that segbench accepts.

Composing takes a few tenths of a second, so the fast test composes many commands at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser

from segbench.config import extras
from segbench.config.compose import read_command, register
from segbench.config.named_models import as_list
from segbench.config.places import is_group, options_of
from segbench.config.schema import SCHEMAS
from segbench.errors import ConfigError
from segbench.init import init
from tests.site.pages import PAGES, Shown, commands

LAUNCHER = ("hydra/launcher", "hydra.launcher")  # not installed everywhere
TUNED = ("custom", "unet_resnet18", "unet_resnet34")  # models of a search that was made before
SHOWN = list(dict.fromkeys(shown for page in PAGES for shown in commands(page)))
COMPOSED = [shown for shown in SHOWN if shown.verb != "init" and "--help" not in shown.words]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project of `segbench init`, as the pages assume."""
    folder = tmp_path_factory.mktemp("project")
    init(folder)
    for name in TUNED:
        file = folder / f"runs/tune_streets/tuned/{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("# @package _global_\ntuning_trials: 2\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(extras, "find_spec", lambda package: True)  # not all are installed here
        patch.syspath_prepend(str(folder))
        register()
        yield folder


@dataclass
class Arguments:
    """The arguments of one or of several commands, by key.

    Args:
        name: config of the verb, or a study.
        given: an argument by key, without what depends on the machine and placeholders.
        sweeps: whether the command has -m.
    """

    name: str
    given: dict[str, str] = field(default_factory=dict)
    sweeps: bool = False

    def fits(self, other: Arguments) -> bool:
        """Whether both can be composed at once, with the same meaning."""
        shared = self.given.keys() & other.given.keys()
        return (
            self.name == other.name
            and all(self.given[key] == other.given[key] for key in shared)
            and not self._choose_below(other)
            and not other._choose_below(self)
        )

    def _choose_below(self, other: Arguments) -> bool:
        """Whether a group is chosen here whose default the other one has keys of."""
        below = {key.partition(".")[0] for key in other.given if "." in key}
        return any(key in self.given and key not in other.given for key in below)


def arguments_of(shown: Shown) -> Arguments:
    """The arguments of a command as `run_verb` reads them."""
    words = list(shown.words)
    if shown.verb == "explain" and "=" not in words[0]:
        words[0] = f"what={words[0]}"
    parsed = get_args_parser().parse_intermixed_args(words)
    found = Arguments(parsed.config_name or shown.verb, sweeps=parsed.multirun)
    for word in parsed.overrides:
        word = as_list(word) if shown.verb in ("explain", "benchmark") else word
        key, _, value = word.partition("=")
        is_placeholder = is_group(key) and value.isupper()
        if not (is_placeholder or word.startswith(LAUNCHER)):
            found.given[key] = word
    return found


def first_values(arguments: Arguments) -> Arguments:
    """The first job of a sweep; the other options of a group must exist."""
    given = {}
    for key, word in arguments.given.items():
        swept = OverridesParser.create().parse_override(word) if arguments.sweeps else None
        values = list(swept.sweep_string_iterator()) if swept and swept.is_sweep_override() else []
        if values and is_group(key):
            assert {str(value) for value in values} <= set(options_of(key)), word
        given[key] = f"{key}={values[0]}" if values else word
    return Arguments(arguments.name, given)


def test_there_are_commands_to_check() -> None:
    assert len(COMPOSED) > 80
    assert {shown.verb for shown in SHOWN} == {*SCHEMAS, "init"}
    assert all(len(shown.words) == 1 for shown in SHOWN if shown.verb == "init")


def test_every_command_on_a_page_is_accepted(project: Path) -> None:
    composed: list[Arguments] = []
    for shown in COMPOSED:
        single = first_values(arguments_of(shown))
        joined = next((others for others in composed if others.fits(single)), None)
        if joined is None:
            composed.append(single)
        else:
            joined.given |= single.given
    problems = []
    for arguments in composed:
        is_verb = arguments.name in SCHEMAS  # tests/test_studies.py checks the values of studies
        try:
            read_command(arguments.name, list(arguments.given.values()), is_complete=is_verb)
        except ConfigError as error:
            problems.append(f"{arguments.name} {list(arguments.given.values())}: {error}")
    assert not problems, "\n".join(problems)


def test_a_command_that_rots_would_be_noticed(project: Path) -> None:
    for text in ("model=unett", "optimizer.lrr=3", "-cn custom_vs_unett", "seed=x"):
        arguments = first_values(arguments_of(Shown("page", "train", tuple(text.split()))))
        with pytest.raises(ConfigError):
            read_command(arguments.name, list(arguments.given.values()))


@pytest.mark.slow
@pytest.mark.parametrize("shown", COMPOSED, ids=str)
def test_each_command_is_accepted_alone(shown: Shown, project: Path) -> None:
    arguments = arguments_of(shown)
    if shown.verb == "check_data":
        arguments.given.setdefault("data", "data=streets")  # instead of the placeholder NAME
    read_command(arguments.name, list(arguments.given.values()), arguments.sweeps)
