"""Thousands of composed configs: each is accepted, or refused with a message, never a traceback.

    pytest tests/campaigns/test_configs.py -m slow

The seed of a command is in its test, so that failures can be repeated. A sample always runs;
`make test-all` runs all of them.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from segbench.config.compose import read_command, register
from segbench.config.help import groups_of
from segbench.config.places import options_of
from segbench.config.schema import SCHEMAS
from segbench.errors import ConfigError

SAMPLE, ALL = 24, 2_000
KEYS_OF_GROUPS = (
    *("data.root", "data.resize", "data.crop_size", "data.batch_size", "data.mean", "data.classes"),
    *("data.num_workers", "data.scale_range", "data.images", "data.label_map", "data.splits.test"),
    *("model.width", "model.encoder_name", "model.dropout", "loss.class_weights", "optimizer.lr"),
    *("optimizer.betas", "scheduler.power", "trainer.max_epochs", "trainer.max_steps"),
    *("trainer.devices", "trainer.gradient_clip_val", "inference.mode", "inference.scales"),
    *("logger.wandb.project", "compare.baseline", "hydra.run.dir", "hydra.sweeper.params"),
    *("hydra/launcher", "hydra.launcher.n_jobs", "model._target_", "data._target_", "x.y.z"),
)
VALUES = (
    *("", "null", "true", "nan", "-inf", "1e999", "-1", "0", "1", "2.5", "1_0", "007", "1e-3"),
    *("99999999999999999999", "[1,2]", "[100000,100000]", "[]", "{}", "{a:1}", "[[1]]", "[a,[b]]"),
    *("${nope}", "${oc.env:NOPE}", "${oc.env:HOME}", "${seed}", "${", "${a:}", "${hydra:job.num}"),
    *(
        "${study}",
        "x${name}",
        "???",
        "~",
        "~/x",
        "photo (1).jpg",
        "写真",
        "a,b",
        "a=b",
        "'a",
        '"a"',
    ),
    *(
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ":",
        "\\",
        "'",
        "choice(1,2)",
        "range(1,3)",
        "int(x)",
        "glob(*)",
    ),
    *("unet", "streets", "folder", "dice", "torch.nn.Conv2d", "os.system", "no.such.Thing", "a\nb"),
)
SHAPES = ("{key}={value}",) * 12 + ("+{key}={value}", "++{key}={value}", "~{key}", "~{key}={value}")


def command(seed: int) -> tuple[str, list[str], bool]:
    """A verb, its command-line arguments and whether they are a sweep, drawn by a seed."""
    draw = random.Random(seed)
    verb = draw.choice([*SCHEMAS, "train", "train"])
    keys = [*SCHEMAS[verb].__dataclass_fields__]
    groups = groups_of(verb)
    words = []
    for _ in range(draw.choice((1, 1, 1, 2, 3, 5))):
        kind = draw.random()
        if kind < 0.2 and groups:
            group = draw.choice(groups)
            words.append(f"{group}={draw.choice([*options_of(group), draw.choice(VALUES)])}")
        elif kind < 0.95:
            key = draw.choice(keys if kind < 0.6 else KEYS_OF_GROUPS)
            words.append(draw.choice(SHAPES).format(key=key, value=draw.choice(VALUES)))
        else:
            words.append(draw.choice(VALUES))
    return verb, words, verb == "train" and draw.random() < 0.1


def outcome(seed: int) -> str:
    """The outcome of a command: accepted or refused.

    Raises:
        Exception: anything but a ConfigError with a message.
    """
    verb, words, multirun = command(seed)
    register()
    try:
        found = read_command(verb, words, multirun)
    except ConfigError as error:
        if not str(error).strip():
            raise ValueError("an error without a word") from error
        return "refused"
    plain: dict[str, Any] = {key: found.config[key] for key in found.config if key != "hydra"}
    assert set(plain) >= set(SCHEMAS[verb].__dataclass_fields__)
    return "taken"


def run(seeds: range) -> Counter[str]:
    """Counts the outcomes; names all commands with other outcomes."""
    counts: Counter[str] = Counter()
    failures = []
    for seed in seeds:
        try:
            counts[outcome(seed)] += 1
        except Exception as error:
            failures.append(f"seed {seed}, {command(seed)}: {type(error).__name__}: {error}")
    assert not failures, "\n".join(failures)
    return counts


def test_a_sample_of_commands_is_taken_or_refused() -> None:
    assert sum(run(range(SAMPLE)).values()) == SAMPLE


@pytest.mark.slow
@pytest.mark.parametrize("block", range(ALL // 100))
def test_every_command_is_taken_or_refused(block: int) -> None:
    counts = run(range(100 * block, 100 * (block + 1)))
    assert sum(counts.values()) == 100
    assert min(counts["taken"], counts["refused"]) > 0, counts


def test_the_campaign_finds_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segbench.config.compose.check_values", lambda config: 1 / 0)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run(range(2))
