"""The commands that repeat the runs of a comparison."""

from __future__ import annotations

from segbench.comparison.reproduce import origins, span

CPU = {"device": "cpu", "cpu": "Example CPU", "threads": 1}


def comparison(*runs: tuple[str, int, str | None], **more):
    """Runs as (label, seed, command)."""
    labels = dict.fromkeys(label for label, _, _ in runs)
    values = [
        {"label": label, "seed": seed, "command": command, "commit": "a" * 40, "dirty": False,
         "hardware": CPU, "versions": {"python": "3.11.7"}, **more}
        for label, seed, command in runs
    ]  # fmt: skip
    return {"leaderboard": [{"label": label} for label in labels], "runs": values}


def commands(*runs: tuple[str, int, str | None]) -> list[str]:
    return [origin.command for origin in origins(comparison(*runs))]


def test_the_jobs_of_a_sweep_become_the_command_of_the_sweep():
    text = "python -m segbench.train -cn {} model={} seed={} 'data.size=[16,24]' hydra.mode=RUN"
    for name, typed in (("mine", "-cn mine -m"), ("train", "-m")):
        runs = [(m, s, text.format(name, m, s)) for m in ("a", "b") for s in (0, 1)]
        expected = f"python -m segbench.train {typed} model=a,b seed=0,1 'data.size=[16,24]'"
        assert commands(*runs) == [expected]


def test_no_command_gives_a_run_that_does_not_exist():
    text = "python -m segbench.train model={} seed={}"
    runs = [("a", 0, text.format("a", 0)), ("a", 1, text.format("a", 1)),
            ("b", 0, text.format("b", 0))]  # fmt: skip
    assert commands(*runs) == [
        "python -m segbench.train -m model=a seed=0,1",
        "python -m segbench.train model=b seed=0",
    ]


def test_commands_that_differ_otherwise_and_unknown_ones_are_not_merged():
    train = "python -m segbench.train model=a seed=0"
    evaluate = "python -m segbench.evaluate predictions=b name=b"
    runs = [("a", 0, train), ("b", 0, evaluate), ("c", 0, None)]
    assert commands(*runs) == [train, evaluate, "unknown"]


def test_runs_of_other_machines_or_commits_have_their_own_entry():
    found = comparison(("a", 0, "python x.py seed=0"), ("a", 1, "python x.py seed=1"))
    found["runs"][1] |= {"hardware": {"device": "GPU", "num_gpus": 2}, "dirty": True}
    cpu, gpu = (origin.sentence() for origin in origins(found))
    assert cpu == "a, seed 0: `python x.py seed=0`; commit aaaaaaaaa, Example CPU, 1 thread, " \
        "python 3.11.7"  # fmt: skip
    assert gpu.endswith("commit aaaaaaaaa with uncommitted changes, 2 x GPU, python 3.11.7")


def test_seeds_in_words():
    assert [span(s) for s in ([3], [0, 1], [0, 1, 2], [0, 2, 5])] == [
        *("3", "0 and 1", "0 to 2", "0, 2 and 5")
    ]
