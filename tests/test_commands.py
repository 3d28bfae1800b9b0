"""Commands as users type them: the console script, flags anywhere, showing a config."""

from __future__ import annotations

from tests.conftest import ROOT, run_module


def test_the_package_runs_its_verbs() -> None:
    done = run_module(
        "segbench", "train", "--config-dir", str(ROOT), "study=1_0", "-cn", "train", "sede=1"
    )
    assert done.returncode == 2
    assert done.stderr == (
        "segbench.train: error: sede: there is no key 'sede' in the config; did you mean 'seed'?\n"
    )
    done = run_module("segbench", "trian")
    assert done.returncode == 2
    assert done.stderr == "segbench: error: there is no command 'trian'; did you mean 'train'?\n"


def test_flags_may_be_anywhere_and_a_shown_config_is_checked() -> None:
    done = run_module("segbench.train", "study=1_0", "--cfg", "job", "seed=3")
    assert done.returncode == 0, done.stderr
    assert "study: '1_0'" in done.stdout or "study: 1_0" in done.stdout
    assert "seed: 3" in done.stdout
    done = run_module("segbench.train", "--cfg", "job", "model=unett")
    assert done.returncode == 2
    assert "did you mean 'unet'?" in done.stderr
    assert "HYDRA_FULL_ERROR" not in done.stderr
