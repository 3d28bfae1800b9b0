"""Write the paper kit of a study, or of several: tables, figures, methods, checklists, data.

    python -m segbench.paper study=NAME                        to runs/NAME/paper
    python -m segbench.paper studies=[NAME,NAME]               several data sets
    python -m segbench.paper study=NAME document_class=llncs   for Springer's class

main.tex compiles as it is. Best values are bold only where the corrected test separates them, and
data.zip contains what segbench.compare needs to make the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from segbench.config import make_folder
from segbench.config.app import run_verb
from segbench.errors import ConfigError
from segbench.system.console import say
from segbench.system.storage import alone_in

if TYPE_CHECKING:
    from segbench.comparison.options import Options
    from segbench.comparison.study import Study


def paper(config: DictConfig) -> int:
    """Compares, writes the folder, prints its path; returns the exit code."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    names, tuning = _checked(plain)
    from segbench.comparison.across_report import compare_studies
    from segbench.comparison.comparison import compare_runs
    from segbench.comparison.measures import check_metrics
    from segbench.comparison.options import Options
    from segbench.comparison.study import read_studies
    from segbench.publication.paper import Paper, write_paper

    check_metrics(plain["metric"], plain["metrics"])
    runs = Path(plain["runs"])
    studies = read_studies([runs / name for name in names], plain["only"])
    key = "studies" if len(names) > 1 else "study"
    place = runs / "+".join(study.path.name for study in studies) / "paper"
    folder = make_folder(key, place)
    options = Options(
        metric=plain["metric"],
        metrics=tuple(plain["metrics"]),
        baseline=plain["baseline"],
        margin=plain["margin"],
        replicates=plain["replicates"],
    )
    with alone_in(folder, key):
        across = compare_studies(studies, options) if len(studies) > 1 else None
        comparisons = [compare_runs(study, _known(options, study, across)) for study in studies]
        file = write_paper(
            Paper(studies, comparisons, across, tuning), folder, plain["document_class"]
        )
    left_out = [entry for comparison in comparisons for entry in comparison["left_out"]]
    for entry in left_out:
        say(f"left out: {entry['path']}: {entry['reason']}")
    say(f"\n{(across or comparisons[0])['verdict']}\n\npaper: {file}")
    return int(any(entry["broken"] for entry in left_out))


def _known(options: Options, study: Study, across: object) -> Options:
    """The options for one study: of several, not every one needs to have the baseline."""
    if across is None or study.label_of(options.baseline) in (None, *study.runs):
        return options
    return replace(options, baseline=None, margin=None)


def _checked(config: Mapping[str, Any]) -> tuple[list[str], list[Path]]:
    """The names of the studies, and the folders of those that tuned their values."""
    from segbench.comparison.study import study_names

    names = study_names(config["study"], config["studies"], "the paper of one study is")
    tuning = [Path(config["runs"]) / name for name in config["tuning"]]
    if missing := [str(folder) for folder in tuning if not folder.is_dir()]:
        raise ConfigError(f"tuning: there is no such study: {', '.join(missing)}")
    if own := sorted(set(names) & set(config["tuning"])):
        raise ConfigError(f"tuning: {', '.join(own)} is compared, so it tuned nothing before")
    return names, tuning


if __name__ == "__main__":
    run_verb("paper", paper)
