"""Names that users choose are displayed as typed, in every report."""

from __future__ import annotations

import csv
import io
import posixpath
import re
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from rich.text import Text

from segbench.artifacts.result import Result
from segbench.artifacts.scores import Scores
from segbench.artifacts.typed import read_as
from segbench.config.outcome import JobRecord, Outcome
from segbench.config.sweep_table import print_jobs
from segbench.evaluation.confusion_figure import draw_confusion
from segbench.evaluation.report import print_scores, write_tables
from segbench.metrics.scores import scores
from segbench.system import console, escaping, figures
from tests.comparison.fabricated import record

NASTY = [
    "[/sky]", "[red]", "logger=[wandb,csv]", ":cat:", "$x^{$", "a\x1b[31mred", "<script>x</script>",
    "=1+1", "+cmd", "-cmd", "@sum", "\tx", "a|b", "`x`", "../../x", "道路", "Straße", "x\ny",
    "\udcff", "\u202eabc", "%_&#{}~^\\", "x" * 400,
]  # fmt: skip


def is_clean(text: str) -> bool:
    """Whether a text moves no cursor, changes no text direction and can be encoded."""
    allowed = {"\n", "\t"}
    kinds = {unicodedata.category(char) for char in text if char not in allowed}
    text.encode()
    return not kinds & {"Cc", "Cs"} and "\u202e" not in text


@pytest.mark.parametrize("name", NASTY)
def test_a_terminal_shows_every_name_literally(name: str, capsys: pytest.CaptureFixture[str]):
    table = console.table(name, "IoU", title=name)
    table.add_row(name, "1.0")
    shown = console.console()
    shown.print(table)
    shown.print(name, soft_wrap=True)
    console.say(name)
    with console.progress(name, 3) as show:
        show(1)
    out = capsys.readouterr().out
    assert is_clean(out)
    tail = out.splitlines()
    visible = escaping.terminal(name).split("\n")[-1]
    assert tail[-1] == visible.expandtabs() or tail[-1] == visible
    assert escaping.terminal(name).split("\n")[-1][:40].strip() in out


def test_styles_of_our_own_are_kept():
    rich = console.console().render_str("[red]x", style="bold")
    assert isinstance(rich, Text)
    assert (rich.plain, rich.style) == ("[red]x", "bold")


def test_the_table_of_a_sweep_shows_overrides_and_reasons_in_brackets(capsys):
    records = [
        JobRecord(Outcome("failed", reason="OSError: [/data/x]"), (word,), seconds=1.0)
        for word in ("logger=[wandb,csv]", "logger=[csv]")
    ]
    assert print_jobs("x", records, 2) == 1
    out = capsys.readouterr().out
    for word in ("logger=[wandb,csv]", "logger=[csv]", "OSError: [/data/x]", "failed"):
        assert word in out


def evaluated(names: list[str]) -> tuple[Result, np.ndarray]:
    matrices = np.random.default_rng(0).integers(1, 99, (2, len(names), len(names) + 1))
    found = read_as(Scores, scores(matrices.sum(0), names) | {"groups": {"<b>": 0.5}})
    before = record()
    protocol = replace(before.protocol, source="<i>")
    return record(name="[/a] <script>", scores={"test": found}, protocol=protocol), matrices


def test_an_evaluation_survives_its_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    names = [name for name in NASTY[:-1] if name.isprintable() or ord(max(name)) < 0xD800]
    result, matrices = evaluated(names)
    write_tables(tmp_path, result, result.scores["test"], matrices, ["=a", "<b>"])
    with (tmp_path / "classes.csv").open(newline="", encoding="utf-8") as f:
        rows = list(csv.reader(f))
    assert not [row[0] for row in rows if row[0][:1] in ("=", "+", "-", "@", "\t")]
    assert all(float(cell) >= 0 for row in rows[1:] for cell in row[1:] if cell)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<b>" not in text
    assert is_clean(text)
    draw_confusion(tmp_path / "confusion.png", matrices.sum(0), names)

    class Run:
        path = tmp_path

    print_scores(result.scores["test"], result, Run(), matrices)  # type: ignore[arg-type]
    out = capsys.readouterr().out
    assert is_clean(out)
    for name in ("[/sky]", "[red]", ":cat:", "[/a] <script>"):
        assert name in out


@pytest.mark.parametrize("name", NASTY)
def test_figures_show_no_math_and_no_boxes(name: str, recwarn: pytest.WarningsRecorder):
    from matplotlib.figure import Figure

    with figures.plain_text():
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], label=figures.label(name))
        axes.set_xticks([0, 1], [figures.label(name)] * 2)
        axes.set_title(figures.label(name))
        axes.legend()
        figure.savefig(io.BytesIO(), format="png")
    assert len(figures.label(name)) <= 6 * figures.LONGEST
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_a_character_without_a_glyph_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(figures, "_glyphs", lambda: frozenset(range(0x250)))
    assert figures.label("Straße 道") == r"Straße \u9053"


@pytest.mark.parametrize("name", NASTY)
def test_latex_has_no_command_of_a_name(name: str):
    text = escaping.latex(name)
    for ours in escaping._LATEX.values():
        text = text.replace(ours, "")
    assert not set(text) & set("\\{}$&#%_^~")


@pytest.mark.parametrize("name", [*NASTY, "", ".", "..", "CON", "nul.png", "a.", "道" * 200, "/"])
def test_a_file_name_is_one_component_on_every_system(name: str, tmp_path: Path):
    found = escaping.file_name(name)
    assert found not in ("", ".", "..")
    assert not set(found) & set('/\\<>:"|?*')
    assert is_clean(found)
    (tmp_path / f"{found}.png").write_text("x")
    assert len(list(tmp_path.iterdir())) == 1
    assert found == escaping.file_name(found)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("city/frame 1", "city/frame 1"),
        ("scan:1/what?", "scan%3A1/what%3F"),
        ("nul.png/Con", "%6Eul.png/%43on"),
        ("a./b ", "a%2E/b%20"),
        ("50%/50%25", "50%/50%2525"),
        ("Straße/道", "Straße/道"),
        ("\udcff\n", "%ED%B3%BF%0A"),
    ],
)
def test_files_of_an_image_are_legal_on_every_system(name: str, path: str):
    assert escaping.file_path(name) == path
    assert all(escaping.file_name(part) == part for part in path.split("/"))
    assert unquote(path, errors="surrogatepass") == name


def test_numbers_stay_numbers_where_an_encoding_lacks_the_minus(monkeypatch: pytest.MonkeyPatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    console.show_every_character()
    console.say("−5.9 to ±10.6 道")
    assert written.getvalue() == "-5.9 to ±10.6 \\u9053\n".encode("cp1252")


@pytest.mark.parametrize("name", [*NASTY, "", ".", "..", "a//b", "/", "a/../b"])
def test_mlflow_accepts_every_name(name: str):
    for key in (escaping.mlflow_key(name), escaping.mlflow_key(f"val/IoU/{name}")):
        assert re.fullmatch("[a-zA-Z0-9_/. -]{1,250}", key)
        assert posixpath.normpath(key) == key
        assert not key.startswith(("/", ".."))


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("a b", '"a b"'),
        ("data.size=[32,48]", '"data.size=[32,48]"'),
        ('say "hi"', r'"say \"hi\""'),
        ("C:\\my runs\\", r'"C:\my runs\\"'),
        ("", '""'),
    ],
)
def test_a_command_can_be_pasted_on_windows(word: str, shown: str):
    assert escaping.shell(["python", word, "x=1"], windows=True) == f"python {shown} x=1"


def test_plain_words_are_not_quoted_on_windows():
    words = ["segbench", "train", "-cn", r"ckpt=C:\runs\best.ckpt", "study=a"]
    assert escaping.shell(words, windows=True) == " ".join(words)


def test_ordinary_names_stay_as_they_are():
    for name in ("unet_resnet34", "sky", "aachen_000000_000019", "Straße 1"):
        assert escaping.file_name(name) == escaping.terminal(name) == escaping.csv_cell(name)
        assert escaping.markdown(name) == figures.label(name) == name


@pytest.mark.parametrize("value", [-0.5, 3, 0.25, "-0.5", "1e-3"])
def test_numbers_stay_numbers(value: object):
    assert float(escaping.csv_cell(value)) == float(value)  # type: ignore[arg-type]
