"""The scripted W&B dashboard: its content, and its message without an account."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "dashboard.py"


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("wandb_workspaces")
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from dashboard import dashboard

    return dashboard("me", "segbench", "mine")


def test_scores_come_first_and_runs_are_grouped_by_study_model_and_seed(view) -> None:
    assert [section.name for section in view.sections][:2] == ["Scores", "Classes"]
    assert view.sections[0].panels[0].title == "val/mIoU"
    assert [group.name for group in view.runset_settings.groupby] == ["study", "name", "seed"]


def test_only_the_runs_of_the_study_are_shown(view) -> None:
    assert "mine" in str(view.runset_settings.filters)


def test_the_confusion_of_the_test_is_shown(view) -> None:
    (section,) = [section for section in view.sections if section.name == "Confusion"]
    assert section.panels[0].table_name == "test/confusion"


@pytest.mark.parametrize(
    ("mode", "said"),
    [("offline", "WANDB_MODE=offline"), ("online", "W&B: no connection")],
)
def test_without_the_server_it_says_why(
    view, monkeypatch: pytest.MonkeyPatch, mode: str, said: str
) -> None:
    import dashboard
    import wandb

    def refuse(prompt: bool) -> None:
        raise wandb.errors.CommError("no connection\nand details")

    monkeypatch.setattr(wandb, "login", refuse)
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setattr(sys, "argv", ["dashboard.py", "me"])
    with pytest.raises(SystemExit, match=said):
        dashboard.main()


@pytest.mark.slow
def test_without_an_account_it_says_what_to_do() -> None:
    without = {"WANDB_MODE": "online", "WANDB_API_KEY": ""}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "me"], capture_output=True, text=True, check=False,
        env=os.environ | without,
    )  # fmt: skip
    assert done.returncode == 1
    assert "wandb login" in done.stderr
    assert "Traceback" not in done.stderr
