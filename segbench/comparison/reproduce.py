"""Provenance of the numbers of a comparison: command, commit and machine of its runs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segbench.artifacts.provenance import commit_in_words
from segbench.artifacts.result import Hardware
from segbench.artifacts.typed import read_as
from segbench.comparison.wording import join
from segbench.system.escaping import markdown, markdown_code


@dataclass(frozen=True)
class Origin:
    """Runs of one commit on one kind of machine that one command repeats.

    Args:
        models: their labels, in the order of the leaderboard.
        seeds: ascending.
        command: the command line.
        made_with: commit, machine and versions, in words.
    """

    models: tuple[str, ...]
    seeds: tuple[int, ...]
    command: str
    made_with: str

    def sentence(self) -> str:
        """The origin as a Markdown list item."""
        word = "seed" if len(self.seeds) == 1 else "seeds"
        runs = markdown(f"{join(self.models)}, {word} {span(self.seeds)}")
        return f"{runs}: {markdown_code(self.command)}; {markdown(self.made_with)}"


def origins(comparison: Mapping[str, Any]) -> list[Origin]:
    """Origins of all runs: the fewest commands that give exactly these runs."""
    order = [row["label"] for row in comparison["leaderboard"]]
    grouped: dict[str, dict[tuple[str, ...], list[Mapping[str, Any]]]] = {}
    for run in sorted(comparison["runs"], key=lambda run: (order.index(run["label"]), run["seed"])):
        words = tuple(word for word in _words(run["command"]) if word != "hydra.mode=RUN")
        grouped.setdefault(_made_with(run), {}).setdefault(words, []).append(run)
    found = []
    for made_with, commands in grouped.items():
        for words, runs in _merged(commands):
            models = {run["label"]: None for run in runs}
            seeds = sorted({run["seed"] for run in runs})
            command = _typed(words, len(runs) > 1)
            found.append(Origin(tuple(models), tuple(seeds), command, made_with))
    return found


def comparison_command(comparison: Mapping[str, Any], runs: str = "") -> str:
    """The command that makes a comparison again.

    Args:
        comparison: of one study, or over several.
        runs: the folder of the studies; empty = the default.
    """
    studies = comparison.get("studies")
    which = f"studies=[{','.join(studies)}]" if studies else f"study={comparison['study']}"
    place = [f"runs={runs}"] if runs else []
    return shlex.join(
        ["python", "-m", "segbench.compare", *place, which, *comparison.get("options", [])]
    )


def span(seeds: Sequence[int]) -> str:
    """`0 to 4`, or `0, 2 and 5`."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return join([str(seed) for seed in seeds])


def _words(command: Any) -> list[str]:
    """The arguments of a command; one that a shell cannot parse (an open quote) is one argument."""
    try:
        return shlex.split(str(command or "unknown"))
    except ValueError:
        return [str(command)]


def _made_with(run: Mapping[str, Any]) -> str:
    versions = run.get("versions") or {}
    named = [f"{name} {versions[name]}" for name in ("torch", "python") if name in versions]
    return ", ".join(
        [commit_in_words(run), str(read_as(Hardware, run.get("hardware") or {})), *named]
    )


def _merged(
    commands: Mapping[tuple[str, ...], Sequence[Any]],
) -> list[tuple[tuple[str, ...], list[Any]]]:
    """Joins commands that differ only in the value of one key; the seed first."""
    merged = [(words, list(runs)) for words, runs in commands.items()]
    for only_seeds in (True, False):
        kept: list[tuple[tuple[str, ...], list[Any]]] = []
        for words, runs in merged:
            for place, (others, their_runs) in enumerate(kept):
                if joined := _joined(others, words, only_seeds):
                    kept[place] = (joined, their_runs + runs)
                    break
            else:
                kept.append((words, runs))
        merged = kept
    return merged


def _joined(a: Sequence[str], b: Sequence[str], only_seeds: bool) -> tuple[str, ...] | None:
    """Both commands as one sweep, if they differ in one `KEY=VALUE` of the same key."""
    places = [i for i, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]]
    if len(a) != len(b) or len(places) != 1:
        return None
    (key, equals, value), (other, _, more) = (words[places[0]].partition("=") for words in (a, b))
    if not equals or key != other or (only_seeds and key != "seed"):
        return None
    return (*a[: places[0]], f"{key}={value},{more}", *a[places[0] + 1 :])


def _typed(words: Sequence[str], is_sweep: bool) -> str:
    """The command as one line."""
    if words[:2] == ("python", "-m"):
        module, options = words[2], list(words[3:])
        if options[:2] == ["-cn", module.rpartition(".")[2]]:
            del options[:2]  # jobs of a sweep name even the verb's default config
        if is_sweep:
            options.insert(2 if options[:1] == ["-cn"] else 0, "-m")
        words = (*words[:3], *options)
    return shlex.join(words)
