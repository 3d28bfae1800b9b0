"""Hooks of mkdocs: pages from outside of docs/, and links out of docs/.

The pages read well on GitHub and as a site: links between files of the repository stay as they are
there, and become links to the repository, or to the page made of the file, here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tools.notebook import as_markdown

ROOT = Path(__file__).resolve().parents[1]
# Pages made of files elsewhere in the repository
PAGES = {
    "experiments/README.md": "studies.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "docs/first-hour.ipynb": "first-hour.md",
}
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_CODE = re.compile(r"^( *)(```|~~~).*?^\1\2", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages from elsewhere; the notebook itself can be downloaded."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        content = as_markdown(text) if source.endswith(".ipynb") else text
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Rewrites the links of a page that lead out of docs/."""
    sources = {name: source for source, name in PAGES.items()}
    source = ROOT / sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return outside_code(markdown, lambda text: _rewritten(text, source, config.repo_url or ""))


def outside_code(markdown: str, change: Any) -> str:
    """Applies a change to the text between fenced blocks."""
    parts, end = [], 0
    for block in _CODE.finditer(markdown):
        parts += [change(markdown[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, change(markdown[end:])])


def _rewritten(text: str, source: Path, repository: str) -> str:
    def link(found: re.Match[str]) -> str:
        head, address, tail = found.groups()
        if "://" in address or address.startswith(("mailto:", "/")):
            return found[0]
        path = Path(os.path.normpath(source.parent / address))
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
        if name in PAGES:
            is_download = name.endswith(".ipynb")
            return f"{head}{Path(name).name if is_download else PAGES[name]}{tail}"
        if name.startswith("docs/"):
            return f"{head}{name.removeprefix('docs/')}{tail}"
        if not path.exists():
            return found[0]  # mkdocs reports it
        kind = "tree" if path.is_dir() else "blob"
        return f"{head}{repository}/{kind}/main/{name}{tail}"

    return _LINK.sub(link, text)
