"""The data sets that are tested, and their sources in a folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from segbench.artifacts.build import build_source
from segbench.config import config_dir
from segbench.config.compose import compose_checked, register
from segbench.data.sources.folder import Folder
from tests.data.sets.aerial import AERIAL
from tests.data.sets.driving import DRIVING
from tests.data.sets.medical import MEDICAL
from tests.data.sets.scenes import SCENES

SETS = {**SCENES, **DRIVING, **AERIAL, **MEDICAL}
DESCRIBED = sorted(
    file.stem
    for file in (config_dir() / "data").glob("*.yaml")
    if (yaml.safe_load(file.read_text()) or {}).get("about")
)


@cache
def config_of(name: str) -> dict[str, Any]:
    register()
    config: Any = OmegaConf.to_container(
        compose_checked("check_data", [f"data={name}"]).data, resolve=True
    )
    return config


def source_of(name: str, root: Path) -> Folder:
    source: Folder = build_source({**config_of(name), **SETS[name].config, "root": str(root)})
    return source
