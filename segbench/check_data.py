"""Check a data set before training on it: files, labels, leaks, class balance.

    python -m segbench.check_data data=camvid11
    python -m segbench.check_data data=folder data.root=PATH ... strict=true
    python -m segbench.check_data data=ade20k          prints how to get it, if it is missing

Writes index.html, report.md, report.json, pairs.csv, classes.png and samples.png. The exit code is
1 if anything was found that would corrupt a result (with strict=true also for warnings), else 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from segbench.config import make_folder, resolved
from segbench.config.app import run_verb

if TYPE_CHECKING:
    from segbench.data.dataset import Source

SHOWN_FILES = 3  # per finding, in the terminal


def check_data(source: Source, output: Path, strict: bool, name: str = "") -> int:
    """Checks a source, writes the reports, prints the findings; returns the exit code."""
    from rich.text import Text

    from segbench.data.check import check
    from segbench.data.check_report import write_reports
    from segbench.system.console import console, say

    findings, statistics = check(source)
    write_reports(output, name or source.protocol, source, findings, statistics)
    target = console()
    colors = {"error": "red", "warning": "yellow", "hint": "cyan"}
    for finding in findings:
        color = colors[finding.severity]
        target.print(Text(finding.severity, style=color), end=" ")
        say(f"{finding.kind} ({finding.split}): {finding.message}")
        if finding.keys:
            say("\n".join(f"    {line}" for line in finding.yaml))
            say("  or give each on the command line as data.KEY=VALUE; then check again")
        unnamed = [file for file in finding.files if file not in finding.message]
        for file in unnamed[:SHOWN_FILES]:
            say(f"  {file}")
        if len(unnamed) > SHOWN_FILES:
            say(f"  and {len(unnamed) - SHOWN_FILES} more; see the report")
    errors, warnings = (
        sum(finding.severity == severity for finding in findings)
        for severity in ("error", "warning")
    )
    images = sum(len(measured.records) for measured in statistics.values())
    say(
        f"{images} images, {errors} error(s), {warnings} warning(s); "
        f"report: {output / 'index.html'}"
    )
    return int(errors > 0 or (strict and warnings > 0))


def main(config: DictConfig) -> int:
    """Builds the source of the config and checks it; without the data, prints how to get it."""
    from segbench.artifacts.build import build_source
    from segbench.data.about import card
    from segbench.system.console import say

    plain = resolved(config)
    data, name = plain["data"], HydraConfig.get().runtime.choices["data"]
    if data.get("about") and not Path(data["root"]).expanduser().is_dir():
        say(f"{data['root']}: no such folder, so there is nothing to check.\n")
        say(card(name, data))
        return 2
    source = build_source(data)
    return check_data(source, make_folder("output", plain["output"]), plain["strict"], name)


if __name__ == "__main__":
    run_verb("check_data", main)
