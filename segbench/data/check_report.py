"""Reports of `segbench.check_data`: text (Markdown, JSON), pairs (CSV), histogram, samples."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TypedDict

import numpy as np

from segbench.data.balance import WEIGHTINGS, class_weights
from segbench.data.bands import Bands, bands_of
from segbench.data.classes import PlainClasses
from segbench.data.dataset import Source
from segbench.data.findings import Finding, SplitStatistics
from segbench.data.preview import sheet
from segbench.errors import DataError, first_few
from segbench.system.escaping import markdown as escaped
from segbench.system.figures import label, plain_text
from segbench.system.storage import replacing_all, write_png, write_text

_SHOWN_FILES = 10
_SHEET = 12
_SHOWN_BANDS = 6
Statistics = dict[str, SplitStatistics]


def write_reports(
    folder: Path, name: str, source: Source, findings: list[Finding], statistics: Statistics
) -> None:
    """Writes all reports to `folder`; `name` is that of the data set."""
    summary = summarize(name, source, findings, statistics)
    with replacing_all(folder) as draft:
        write_text(draft / "report.json", json.dumps(summary, indent=2, default=vars) + "\n")
        write_text(draft / "report.md", markdown(summary))
        write_text(draft / "index.html", page(summary))
        write_pairs(draft / "pairs.csv", source, statistics)
        if statistics:
            write_histogram(draft / "classes.png", source, statistics)
            write_samples(draft / "samples.png", source, statistics)


class SplitSummary(TypedDict):
    """One split: `mean` and `std` of RGB in 0..1, shares of all pixels, sizes as `WxH`."""

    images: int
    groups: int
    sizes: dict[str, int]
    mean: list[float]
    std: list[float]
    pixel_share: dict[str, float]
    images_per_class: dict[str, int]


class Summary(TypedDict):
    """The content of report.json."""

    name: str
    protocol: str
    comparable: bool
    classes: PlainClasses
    errors: int
    warnings: int
    findings: list[Finding]
    splits: dict[str, SplitSummary]
    suggested_class_weights: dict[str, dict[str, float]]
    yaml: list[str]


def page(summary: Summary) -> str:
    """The report as an HTML page, next to the images that it shows."""
    from jinja2 import Environment, FileSystemLoader

    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    return templates.get_template("check_page.html.j2").render(**summary)


def summarize(
    name: str, source: Source, findings: list[Finding], statistics: Statistics
) -> Summary:
    """The report as plain types."""
    names = source.classes.names
    splits: dict[str, SplitSummary] = {}
    for split, measured in statistics.items():
        counts = measured.counts
        share = counts.sum(axis=0) / max(1, counts.sum())
        splits[split] = {
            "images": len(measured.records),
            "groups": len({record.group for record in measured.records}),
            "sizes": {f"{w}x{h}": n for (h, w), n in measured.sizes.items()},
            "mean": [float(f"{v:.5g}") for v in measured.mean],
            "std": [float(f"{v:.5g}") for v in measured.std],
            "pixel_share": dict(zip([*names, "ignore"], share.tolist(), strict=True)),
            "images_per_class": dict(
                zip(names, (counts[:, :-1] > 0).sum(axis=0).tolist(), strict=True)
            ),
        }
    train = statistics.get("train")
    weights = {}
    if train is not None and train.counts[:, :-1].any():
        weights = {
            rule: dict(zip(names, np.round(class_weights(rule, train.counts), 4), strict=True))
            for rule in WEIGHTINGS
        }
    return {
        "name": name,
        "protocol": source.protocol,
        "comparable": source.comparable,
        "classes": source.classes.to_dict(),
        "errors": sum(f.severity == "error" for f in findings),
        "warnings": sum(f.severity == "warning" for f in findings),
        "findings": findings,
        "splits": splits,
        "suggested_class_weights": weights,
        "yaml": [] if train is None else _yaml_lines(splits["train"], bands_of(source)),
    }


def markdown(summary: Summary) -> str:
    """Formats the report as Markdown."""
    comparable = "" if summary["comparable"] else " (not comparable with published scores)"
    lines = [
        f"# Data check: {escaped(summary['name'])}{comparable}",
        "",
        f"{summary['errors']} error(s), {summary['warnings']} warning(s).",
        "",
        "## Findings",
        "",
    ]
    for finding in summary["findings"]:
        head = f"- **{finding.severity}** `{finding.kind}` ({finding.split}): "
        lines.append(head + escaped(finding.message))
        if finding.keys:
            lines += ["", *(f"      {line}" for line in finding.yaml), ""]
        lines += [f"  - {escaped(str(file))}" for file in finding.files[:_SHOWN_FILES]]
        if len(finding.files) > _SHOWN_FILES:
            lines.append(f"  - and {len(finding.files) - _SHOWN_FILES} more, see report.json")
    if not summary["findings"]:
        lines.append("None.")
    lines += ["", "## Splits", "", "| split | images | groups | sizes | mean | std |"]
    lines.append("|---|---|---|---|---|---|")
    for split, part in summary["splits"].items():
        sizes = first_few([f"{size} ({n})" for size, n in part["sizes"].items()], 4)
        lines.append(
            f"| {split} | {part['images']} | {part['groups']} | {sizes} | {_few(part['mean'])} "
            f"| {_few(part['std'])} |"
        )
    return "\n".join([*lines, "", *_class_tables(summary)]) + "\n"


def _few(values: list[float]) -> str:
    """The first numbers of a list that may contain hundreds."""
    more = f", ... ({len(values)})" if len(values) > _SHOWN_BANDS else ""
    return f"[{', '.join(map(str, values[:_SHOWN_BANDS]))}{more}]"


def _class_tables(summary: Summary) -> list[str]:
    splits, weights = summary["splits"], summary["suggested_class_weights"]
    head = [f"{s} pixels % | {s} images" for s in splits] + list(weights)
    lines = ["## Classes", "", f"| class | {' | '.join(head)} |"]
    lines.append("|---" * (1 + 2 * len(splits) + len(weights)) + "|")
    for name in [*summary["classes"]["names"], "ignore"]:
        cells = [escaped(name)]
        for part in splits.values():
            cells.append(f"{100 * part['pixel_share'][name]:.3f}")
            cells.append(str(part["images_per_class"].get(name, "")))
        cells += [str(values.get(name, "")) for values in weights.values()]
        lines.append(f"| {' | '.join(cells)} |")
    rules = " or ".join(weights) or "enet"
    lines += ["", f"The last columns are the class weights of loss.class_weights={rules}."]
    if yaml := summary["yaml"]:
        lines += ["", "## For the YAML of this data set", "", "```yaml", *yaml, "```"]
    return lines


def _yaml_lines(train: SplitSummary, bands: Bands) -> list[str]:
    """Keys of the data set that follow from the training images, ready to copy."""
    is_measured = bands.value_range != "percentile" and min(train["std"]) > 0
    if is_measured and bands.count <= _SHOWN_BANDS:
        lines = [f"{key}: [{', '.join(map(_digits, train[key]))}]" for key in ("mean", "std")]
    else:
        lines = ["mean: auto", "std: auto"]
    sizes = [tuple(map(int, size.split("x"))) for size in train["sizes"]]
    if len(sizes) > 1:
        width, height = (min(side) for side in zip(*sizes, strict=True))
        lines.append(f"crop_size: [{height}, {width}]  # height, width of the smallest image")
    return lines


def _digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    return np.format_float_positional(value, 3, fractional=False, trim="0")


def write_pairs(path: Path, source: Source, statistics: Statistics) -> None:
    """Writes the pairs as CSV, which `data=folder data.table=...` can read."""
    root: Path | None = getattr(source, "root", None)

    def shown(file: Path | None) -> str:
        if file is None:
            return ""
        if root is not None and file.is_relative_to(root):
            return file.relative_to(root).as_posix()
        return file.resolve().as_posix()

    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as out:
        writer = csv.writer(out)
        writer.writerow(["name", "image", "mask", "split", "group"])
        for split, measured in statistics.items():
            for r in measured.records:
                writer.writerow([r.name, shown(r.image), shown(r.mask), split, r.group])


@plain_text()
def write_histogram(path: Path, source: Source, statistics: Statistics) -> None:
    """Plots the pixel share of every class in every split as bars with numbers."""
    from matplotlib.figure import Figure

    names = [*map(label, source.classes.names), "ignore"]
    colors = [
        tuple(v / 255 for v in c) for c in (*source.classes.colors, source.classes.void_color)
    ]
    figure = Figure(figsize=(4.0 * len(statistics) + 1.5, 0.28 * len(names) + 1.2), dpi=100)
    panels = figure.subplots(1, len(statistics), squeeze=False, sharey=True)[0]
    for axes, (split, measured) in zip(panels, statistics.items(), strict=True):
        share = 100 * measured.counts.sum(axis=0) / max(1, measured.counts.sum())
        bars = axes.barh(range(len(names)), share, color=colors, edgecolor="#444444")
        axes.bar_label(bars, [f"{value:.2g}" for value in share], padding=3)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlim(0, 1.15 * max(share.max(), 1e-9))
        axes.set_xlabel(f"{split}, % of pixels")
    panels[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path)


def write_samples(path: Path, source: Source, statistics: Statistics) -> None:
    """Writes a sheet of images and painted masks from all splits."""
    samples = []
    for split, measured in statistics.items():
        count = max(1, _SHEET // len(statistics))
        records = measured.records
        for record in records[:: max(1, len(records) // count)][:count]:
            try:
                image, mask = source.read(record)
                shown = bands_of(source).displayed(image)
                samples.append((f"{split} {record.name}", (shown, mask)))
            except DataError:
                continue  # its problem is already in the findings
    if samples:
        write_png(path, sheet(samples, source.classes))
