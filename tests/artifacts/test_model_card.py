"""The model card is Markdown that displays names literally."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.artifacts.model_card import card

NASTY = ["<script>alert(1)</script>", "a|b", "[x](javascript:y)", "`code`", "\x1b[31m"]


def test_names_are_not_html_links_or_cells(tmp_path: Path) -> None:
    file = tmp_path / "my <b> model;x.ckpt"
    file.write_bytes(b"")
    found = {"mIoU": 0.5, "mDice": 0.6, "IoU": dict.fromkeys(NASTY, 0.1)}
    meta: dict[str, Any] = {
        "config": {"model": {"_target_": "<i>`x`", "option": "<u>"}, "weights": "<a>",
                   "data": {"_target_": "nowhere.Data"}},
        "trained": {"command": "python `rm` <b>", "commit": "<b>", "seed": "<b>",
                    "hardware": {"device": "cpu", "cpu": "<b>", "cores": 2},
                    "data_info": {"comparable": False}, "budget": {"precision": "<b>"}},
        "protocol": {"labels": "<b>"}, "classes": {"names": NASTY}, "scores": {"test": found},
    }  # fmt: skip
    text = card(file, 0, meta, {"mean": 1.0, "agreement": 1.0, "images": 1}, half=False)
    outside_code = "".join(text.split("```")[::2])
    for line in outside_code.splitlines():
        bare = "".join(line.split("`")[::2]) if line.count("`") % 2 == 0 else line
        bare = bare.replace("\\`", "").replace("\\[", "").replace("\\]", "")
        assert "<" not in bare, line
        assert "](" not in bare, line
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("| IoU")]
    assert [row.count("|") for row in rows] == [3] * len(NASTY)
    assert "\x1b" not in text
    assert "'ckpt=my <b> model;x.ckpt'" in text  # quoted for a shell
