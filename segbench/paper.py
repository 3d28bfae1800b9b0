"""Write the paper kit of a study: tables, figures, methods, checklists, references and data.

    python -m segbench.paper study=NAME                        to runs/NAME/paper
    python -m segbench.paper study=NAME document_class=llncs   for Springer's class

main.tex compiles as it is. Best values are bold only where the corrected test separates them, and
data.zip contains what segbench.compare needs to make the same tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from segbench.config import make_folder
from segbench.config.app import run_verb
from segbench.system.console import say
from segbench.system.storage import alone_in


def paper(config: DictConfig) -> int:
    """Compares, writes the folder, prints its path; returns the exit code."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    from segbench.comparison.comparison import Options, compare_runs
    from segbench.comparison.measures import check_metrics
    from segbench.comparison.study import read_study
    from segbench.publication.paper import write_paper

    check_metrics(plain["metric"], plain["metrics"])
    study = read_study(Path(plain["runs"]) / plain["study"], plain["only"])
    folder = make_folder("study", study.path / "paper")
    options = Options(
        metric=plain["metric"],
        metrics=tuple(plain["metrics"]),
        baseline=plain["baseline"],
        margin=plain["margin"],
        replicates=plain["replicates"],
    )
    with alone_in(folder, "study"):
        comparison = compare_runs(study, options)
        file = write_paper(study, comparison, folder, plain["document_class"])
    for entry in comparison["left_out"]:
        say(f"left out: {entry['path']}: {entry['reason']}")
    say(f"\n{comparison['verdict']}\n\npaper: {file}")
    return int(any(entry["broken"] for entry in comparison["left_out"]))


if __name__ == "__main__":
    run_verb("paper", paper)
