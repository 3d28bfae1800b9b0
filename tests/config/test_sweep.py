"""What a sweep passes to its jobs, how it ends, and what it prints."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from segbench.config import sweep as module
from segbench.config.compose import read_command, register
from segbench.config.outcome import OUTCOME_FILE, JobRecord, Outcome
from segbench.config.sweep import Sweep, SweepEndedError
from segbench.config.sweep_table import print_jobs
from tests.conftest import ROOT, python_path


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """A sweep over two rates and two seeds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more").mkdir()
    register(str(tmp_path / "more"))
    found = read_command("train", ["optimizer.lr=0.1,0.2", "seed=0,1"], multirun=True)
    return Sweep.plan("segbench.train", found.config, found.arguments)


def job(*task: str, hydra: tuple[str, ...] = ()) -> Any:
    """The config of a job, as created by Hydra's launcher."""
    config = read_command("train", list(task)).config
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.job.num = 2
    config.hydra.overrides.task = list(task)
    config.hydra.overrides.hydra = list(hydra)
    HydraConfig.instance().set_config(config)
    return config


def test_a_sweep_is_planned_below_the_folder_of_its_study(planned: Sweep, tmp_path: Path) -> None:
    assert (planned.total, planned.named) == (4, ("optimizer.lr",))
    assert planned.varying == ("optimizer.lr", "seed")
    assert planned.records.parent == tmp_path / "runs/default/.jobs"
    assert planned.end(interrupted=False) == 0
    assert not planned.records.parent.exists()


def test_options_of_the_sweep_are_not_passed_to_its_jobs(
    planned: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = []

    def run(command: list[str], environment: dict[str, str]) -> tuple[int, int]:
        commands.append(command)
        text = '{"status": "finished", "objective": 0.5}'
        Path(environment[OUTCOME_FILE]).write_text(text, encoding="utf-8")
        return 0, 0

    monkeypatch.setattr(module, "_run", run)
    own = (
        *("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "+hydra.launcher.a=1"),
        *("++hydra.launcher.b=1", "~hydra.launcher.c", "hydra.sweeper.n_trials=3"),
        *("hydra/sweeper=x", "hydra.mode=MULTIRUN", "hydra.verbose=true"),
    )
    config = job("optimizer.lr=0.1", "seed=1", "samples=0", hydra=own)
    assert planned.run_job(config) == 0.5
    (command,) = commands
    assert command[1:5] == ["-m", "segbench.train", "-cn", "train"]
    assert command[5:] == [
        *("optimizer.lr=0.1", "seed=1", "samples=0", "hydra.verbose=true"),
        *(
            "name='unet_resnet18_lr=0.1-streets'",
            "hydra.mode=RUN",
            "--config-dir",
            str(planned.config_folder),
        ),
    ]
    assert "[job 3 of 4] optimizer.lr=0.1 seed=1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "received", "written", "status", "reason"),
    [
        (0, 0, True, "finished", ""),
        (1, 0, False, "failed", "exit code 1"),
        (-9, 0, False, "killed", "ended by SIGKILL"),
        (0xC0000005, 0, False, "killed", "ended by 0xC0000005"),  # on Windows
        (130, signal.SIGINT, False, "interrupted", "by SIGINT"),
        (0, signal.SIGINT, True, "finished", ""),
    ],
)
def test_the_outcome_of_a_job(
    code: int, received: int, written: bool, status: str, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "outcome"
    if written:
        file.write_text('{"status": "finished"}')
    found = module._outcome_of(file, code, received)
    assert (found.status, found.reason) == (status, reason)


def test_an_interrupted_job_ends_the_sweep(
    planned: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_run", lambda *given: (130, signal.SIGINT))
    with pytest.raises(SweepEndedError) as ended:
        planned.run_job(job("optimizer.lr=0.1", "seed=1", "samples=0"))
    assert ended.value.exit_code == 130
    planned.end(interrupted=True)
    printed = capsys.readouterr().out
    assert "samples" not in printed  # nor are other settings that all jobs share
    assert "interrupted with 0 of 4 jobs done; run the same command again to continue" in printed
    assert "by SIGINT" in printed


def test_the_remaining_time_follows_from_the_finished_jobs(planned: Sweep) -> None:
    assert planned._clock() == ""
    for number, status in enumerate(("finished", "unchanged")):
        record = JobRecord(Outcome(status), (), 60)
        (planned.records / f"{number:05d}.json").write_text(record.to_json())
    later = Sweep(**{**vars(planned), "started": time.time() - 60})
    assert later._clock() == "(0:01:00 so far, about 0:02:00 left)"


PARENT = """
import sys
from segbench.config.sweep import _run
child = "import time, signal, sys; print('up', flush=True); time.sleep(60)"
print(_run([sys.executable, "-c", child], None), flush=True)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_reaches_the_job_once_and_the_sweep_ends_normally(name: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": python_path(ROOT), "PATH": ""},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(getattr(signal, name))
    printed, errors = process.communicate(timeout=60)
    number = int(getattr(signal, name))
    assert printed.strip() == f"({-number}, {number})", errors


def test_on_windows_the_terminal_itself_stops_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    class Job:
        """A job on Windows, where no process can send Ctrl-C to another."""

        def __init__(self, command: list[str], **options: Any) -> None:
            self.killed = False

        def send_signal(self, number: int) -> None:
            raise ValueError(f"Unsupported signal: {number}")

        def kill(self) -> None:
            self.killed = True

        def wait(self) -> int:
            signal.raise_signal(signal.SIGINT)
            assert not self.killed
            signal.raise_signal(signal.SIGINT)
            assert self.killed
            return 130

    monkeypatch.setattr(module, "WINDOWS", True)
    monkeypatch.setattr(module.subprocess, "Popen", Job)
    assert module._run([], {}) == (130, signal.SIGINT)


def test_the_tables_show_percent_mean_and_spread(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {("unet", 0): 0.5, ("unet", 1): 0.6, ("fcn", 0): 0.4, ("fcn", 1): None}
    records = [
        JobRecord(
            Outcome("failed" if score is None else "finished", score, reason="[/x] bad"),
            (f"model={model}", f"seed={seed}"),
            seconds=1.0,
        )
        for (model, seed), score in scores.items()
    ]
    assert print_jobs("runs/[x]", records, 4) == 1
    printed = capsys.readouterr().out
    lines = [line.replace("│", " ").split() for line in printed.splitlines()]
    assert "jobs of runs/[x]" in printed
    assert "[/x] bad" in printed
    assert ["model=unet", "2", "55.0", "7.1"] in lines
    assert ["model=fcn", "1", "40.0", "–"] in lines
    assert "1 of 4 jobs failed; run the same command again to train only what is left" in printed


@pytest.mark.parametrize(
    ("launcher", "total", "threads"),
    [
        ({"_target_": "hydra...BasicLauncher"}, 4, None),
        ({"_target_": "x.JoblibLauncher", "n_jobs": 2}, 4, 4),
        ({"_target_": "x.JoblibLauncher", "n_jobs": -1}, 4, 2),
        ({"_target_": "x.JoblibLauncher", "n_jobs": 8}, 1, None),
        ({"_target_": "x.submitit_launcher.LocalLauncher"}, 16, 1),
        ({"_target_": "x.submitit_launcher.SlurmLauncher"}, 16, None),
    ],
)
def test_parallel_jobs_on_one_machine_share_its_cores(
    launcher: dict[str, Any], total: int, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert module._threads(OmegaConf.create(launcher), total) == threads
