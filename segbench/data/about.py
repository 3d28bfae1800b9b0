"""The node `about` of a data config: facts about the data set, and how they are displayed.

It does not affect any pixels. Errors quote its layout, `segbench.check_data` prints it if the data
are missing, and `docs/datasets.md` is generated from it. Its keys:

- `title`: name of the data set.
- `images`: number of images in train, val and test; null if it is not published.
- `comparable`: false if no published score uses the same split.
- `field`, `license`, `citation`, `size`: one sentence each; `size` is that of the download.
- `layout`: the files below `data.root`, drawn as a tree.
- `get`: the steps from the download to this layout.
- `labels`: content of the masks and common mistakes; appended to errors about labels.
- `notes`: what makes scores incomparable.
- `scores`: published scores, with their conditions.
- `sources`: where the facts are from, at least two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segbench.data.findings import Finding

KEYS = (
    "title", "images", "field", "license", "citation", "size", "layout", "get", "labels",
    "sources",
)  # fmt: skip
OPTIONAL_KEYS = ("comparable", "notes", "scores")


def card(name: str, data: Mapping[str, Any]) -> str:
    """Formats the instructions for getting a data set.

    Args:
        name: name of the data set, as in `data=NAME`.
        data: its config.
    """
    about = data["about"]
    steps = "\n".join(f"{n}. {step}" for n, step in enumerate(about["get"], 1))
    parts = [
        f"{about['title']} (data={name})",
        f"Images: {numbers(about['images'])}. Size: {about['size']}",
        f"License: {about['license']}",
        f"Citation: {about['citation']}",
        f"How to get it:\n{steps}",
        f"Layout:\n{about['layout'].rstrip()}",
        *([f"Notes:\n{_bullets(about['notes'])}"] if about.get("notes") else []),
        f"Then: python -m segbench.check_data data={name} data.root=PATH",
    ]
    return "\n\n".join(parts)


def numbers(images: Mapping[str, int | None]) -> str:
    """The number of images of each split, in words."""
    words = {None: "not fixed", 0: "none"}
    return ", ".join(
        f"{split} {words[count] if not count else f'{count:,}'}" for split, count in images.items()
    )


def incomplete(about: Mapping[str, Any], split: str, found: int) -> list[Finding]:
    """A warning if the number of images of a split differs from the published one."""
    expected = about.get("images", {}).get(split, found)
    if expected in (found, None):
        return []
    text = (
        f"{found:,} images, but {about['title']} has {expected:,}: "
        f"{'some are missing' if found < expected else 'there are extra images'}, or this is a "
        "different release. Scores are not comparable with published ones."
    )
    return [Finding("warning", "incomplete", split, text)]


def _bullets(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
