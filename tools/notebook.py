"""A notebook as a Markdown page."""

from __future__ import annotations

import json


def as_markdown(notebook: str) -> str:
    """Text cells as they are, code cells as Python blocks; outputs are left out."""
    cells = json.loads(notebook)["cells"]
    return "\n\n".join(_cell(cell["cell_type"], "".join(cell["source"])) for cell in cells) + "\n"


def _cell(kind: str, text: str) -> str:
    return f"```python\n{text}\n```" if kind == "code" else text
