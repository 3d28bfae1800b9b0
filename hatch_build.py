"""Adds to a wheel or sdist the commit it was built from, and to a wheel the studies."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ContentHook(BuildHookInterface):
    """Replaces `segbench/commit.txt`; without git, keeps the one of the source archive.

    A wheel also gets the studies, without the results and notes beside them.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before a build."""
        if version != "editable" and self.target_name == "wheel":
            for study in sorted(Path(self.root, "experiments").glob("*.yaml")):
                build_data["force_include"][str(study)] = f"segbench/experiments/{study.name}"
        if version == "editable" or not Path(self.root, ".git").exists():
            return
        commit = self._git("rev-parse", "HEAD")
        state = "dirty" if self._git("status", "--porcelain", "--untracked-files=no") else "clean"
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "commit.txt"
        file.write_text(f"{commit} {state}\n", encoding="utf-8")
        build_data["force_include"][str(file)] = "segbench/commit.txt"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """After it."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", self.root, *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, encoding="utf-8"
        ).stdout.strip()
