"""Imports and runs everything once, so that forked commands start in milliseconds.

The fork server of `tests.campaigns.forked` imports this module. The training uses a folder that is
removed afterwards, so that the commands do not find it.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch

torch.set_num_threads(1)

from segbench.config.app import run_verb  # noqa: E402
from segbench.evaluate import evaluate  # noqa: E402
from segbench.export import export  # noqa: E402
from segbench.predict import predict  # noqa: E402
from segbench.train import train  # noqa: E402
from tests.campaigns.trainings import words_of  # noqa: E402

VERBS = {"train": train, "evaluate": evaluate, "predict": predict, "export": export}


def run(verb: str, words: tuple[str, ...]) -> None:
    """Runs a verb as its command does; ends with SystemExit."""
    sys.argv = [f"segbench.{verb}", *words]
    run_verb(verb, VERBS[verb])


def _warm_up() -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        for verb, words in (
            ("train", words_of(Path(folder) / "run")),
            ("evaluate", (f"ckpt={folder}/run/checkpoints/best.ckpt", f"run_dir={folder}/ev")),
        ):
            with contextlib.suppress(SystemExit):
                run(verb, words)
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    torch.use_deterministic_algorithms(False)


_warm_up()
