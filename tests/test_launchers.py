"""A sweep under joblib, submitit and Ray: the runs, table and report of the built-in launcher.

They come with `pip install "segbench[launchers,ray]"`; missing ones are skipped.
"""

from __future__ import annotations

import json
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from segbench.artifacts.run_directory import RunDirectory
from tests.conftest import TINIEST, run_verb
from tests.test_sweep import FLAKY, table_of

LAUNCHERS = {
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "submitit": ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"),
    "ray": ("hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"),
}
SWEEP = (
    "-m", *TINIEST, "data.test=12", "trainer.max_epochs=1", "samples=0", "logger=none",
    "model=unet,custom", "model.width=8", "seed=0,1", "compare={wandb:false,replicates:100}",
)  # fmt: skip


def scores(study: Path) -> dict[str, float | None]:
    """Test mIoU by run."""
    files = sorted(study.glob("*/seed*/result.json"))
    found = {f"{f.parent.parent.name}/{f.parent.name}": json.loads(f.read_text()) for f in files}
    return {name: result["scores"]["test"]["mIoU"] for name, result in found.items()}


@pytest.fixture(scope="module")
def built_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of the sweep under Hydra's own launcher."""
    folder = tmp_path_factory.mktemp("basic")
    done = run_verb("train", *SWEEP, "study=s", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "s"


@pytest.mark.slow
@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_sweep_gives_the_same_runs_table_and_report(
    name: str, built_in: Path, tmp_path: Path
) -> None:
    if find_spec(f"hydra_plugins.hydra_{name}_launcher") is None:
        pytest.skip(f"the {name} launcher is not installed")
    done = run_verb("train", *SWEEP, "study=s", *LAUNCHERS[name], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert scores(tmp_path / "runs" / "s") == scores(built_in)
    jobs = [row for number, row in table_of(done).items() if number.isdigit()]
    assert ["finished" in row for row in jobs] == [True] * 4
    verdicts = [
        json.loads((study / "report" / "comparison.json").read_text())["verdict"]
        for study in (built_in, tmp_path / "runs" / "s")
    ]
    assert verdicts[0] == verdicts[1]
    again = run_verb("train", *SWEEP, "study=s", *LAUNCHERS[name], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(re.findall("unchanged", again.stdout)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_killed_worker_is_retried_by_the_same_command(name: str, tmp_path: Path) -> None:
    if find_spec(f"hydra_plugins.hydra_{name}_launcher") is None:
        pytest.skip(f"the {name} launcher is not installed")
    (tmp_path / "flaky.py").write_text(FLAKY, encoding="utf-8")
    parts = ("model=unet", "model._target_=flaky.Net", "trainer.max_epochs=3", "seed=0,2")

    def sweep(**environment: str) -> subprocess.CompletedProcess[str]:
        own = ("-m", *TINIEST, *parts, "checkpoint_every=0", "samples=0", "logger=none", "study=s")
        return run_verb("train", *own, *LAUNCHERS[name], cwd=tmp_path, **environment)

    first = sweep()
    assert first.returncode == 1, first.stderr
    assert "SIGKILL" in " ".join(table_of(first).values())
    run = RunDirectory(tmp_path / "runs" / "s" / "unet-streets" / "seed2")
    assert run.last_checkpoint.is_file()
    second = sweep(REPAIRED="1")
    assert second.returncode == 0, second.stderr
    assert "unchanged" in table_of(second)["1"]
    result = run.read_result()
    assert result is not None
    assert result.status == "finished"
    assert result.budget.epochs == 3
