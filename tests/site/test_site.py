"""The site builds offline, without a broken link, and asks no other host for anything."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def build(output: Path, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs mkdocs as `make docs` does; with `--quiet`, no warning would count as an error."""
    words = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(
        [*words, "--site-dir", str(output)], cwd=root, capture_output=True, text=True, timeout=300
    )


def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    pages = {page.name: page.read_text(encoding="utf-8") for page in tmp_path.glob("*.html")}
    assert {"index.html", "tutorial.html", "config.html", "python.html", "faq.html"} <= set(pages)
    assert "segbench.api.calls.train" in pages["python.html"]
    for name, text in pages.items():
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"?(https?://[^\s\">]*)", text)
        loaded += re.findall(r"<link[^>]*stylesheet[^>]*href=\"?(https?://[^\s\">]*)", text)
        assert loaded == [], name


@pytest.mark.slow
@pytest.mark.parametrize("link", ["no-such-page.md", "faq.md#no-such-part", "../no-such-file.py"])
def test_a_broken_link_fails_the_build(link: str, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    for folder in ("docs", "tools"):
        shutil.copytree(ROOT / folder, root / folder)
    shutil.copy(ROOT / "mkdocs.yml", root)
    for name in ("segbench", "experiments", "benchmarks", "conf", "CHANGELOG.md", "SECURITY.md"):
        (root / name).symlink_to(ROOT / name)
    with (root / "docs" / "gpu.md").open("a", encoding="utf-8") as page:
        page.write(f"\n[a broken link]({link})\n")
    done = build(tmp_path / "site", root)
    assert done.returncode != 0
    assert "gpu.md" in done.stderr
