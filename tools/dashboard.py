"""Creates a saved W&B view that shows a study the way segbench reports it.

    pip install segbench[dashboard]; wandb login
    python tools/dashboard.py ENTITY [PROJECT] [STUDY]

Runs are grouped by study, model and seed; the most important curves come first: scores, loss,
learning rate, then IoU and Dice by class, samples, confusion, then speed. Prints the address of the
view. Needs the internet.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

# Section -> titles and metrics, in reading order.
SECTIONS = {
    "Scores": {"val/mIoU": "val/mIoU", "val/mDice": "val/mDice", "val/pixel_acc": "val/pixel_acc"},
    "Training": {"train/loss": "train/loss", "val/loss": "val/loss", "learning rate": "lr"},
    "Cost": {
        "images per second": "train/images_per_s",
        "share of time waiting for data": "train/waiting_for_data",
        "peak memory (MiB)": "train/peak_memory_MiB",
    },
}
STEP = "trainer/global_step"


def dashboard(entity: str, project: str = "segbench", study: str | None = None) -> Any:
    """Builds the view without saving it.

    Args:
        entity: W&B user or team.
        project: W&B project.
        study: only the runs of this study; None shows all.

    Returns:
        A `wandb_workspaces.workspaces.Workspace`.
    """
    import wandb_workspaces.reports.v2 as panels
    import wandb_workspaces.workspaces as workspaces

    def curve(title: str, metric: str) -> Any:
        return panels.LinePlot(title=title, x=STEP, y=[metric], smoothing_type="none")

    sections = [
        workspaces.Section(name, [curve(*entry) for entry in charts.items()], is_open=True)
        for name, charts in SECTIONS.items()
    ]
    by_class = [
        panels.LinePlot(title=f"val/{kind} per class", x=STEP, metric_regex=f"val/{kind}/.*")
        for kind in ("IoU", "Dice")
    ]
    best = panels.BarPlot(title="test/mIoU", metrics=["test/mIoU"])
    sections[0].panels.append(best)
    sections.insert(1, workspaces.Section("Classes", by_class, is_open=True))
    pictures = panels.MediaBrowser(media_keys=["val/samples"])
    sections.insert(2, workspaces.Section("Samples", [pictures], is_open=True))
    counted = panels.WeavePanelSummaryTable(table_name="test/confusion")
    sections.insert(3, workspaces.Section("Confusion", [counted], is_open=True))
    groups = [workspaces.Config(key) for key in ("study", "name", "seed")]
    filters = [workspaces.Config("study") == study] if study else []
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=f"segbench: {study or 'all studies'}",
        sections=sections,
        runset_settings=workspaces.RunsetSettings(groupby=groups, filters=filters),
    )


def main() -> None:
    """Saves the view and prints its address."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("entity")
    parser.add_argument("project", nargs="?", default="segbench")
    parser.add_argument("study", nargs="?")
    arguments = parser.parse_args()
    try:
        view = dashboard(arguments.entity, arguments.project, arguments.study)
    except ImportError:
        sys.exit("dashboard: wandb-workspaces is missing: pip install 'segbench[dashboard]'")
    import wandb

    if (mode := os.environ.get("WANDB_MODE", "online")) != "online":
        sys.exit(f"dashboard: a view is saved on the server, but WANDB_MODE={mode}; unset it")
    try:
        if not wandb.login(prompt=False):
            sys.exit("dashboard: not logged in to W&B; run `wandb login` first")
        print(view.save().url)
    except (wandb.Error, OSError) as error:  # no connection, a wrong key, no such entity
        sys.exit(f"dashboard: W&B: {str(error).splitlines()[0]}")


if __name__ == "__main__":
    main()
