"""What a difference between two runs means: the one table of all fields and config keys.

It has three uses. `compare` refuses runs that differ in what *must be equal*; its audit reports the
other differences with their grade; `train` continues an interrupted run only under the same config,
except for the keys marked `resumable` here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.artifacts.plain import mapping_at
from segbench.artifacts.result import Result
from segbench.config import leaves
from segbench.config.own_loss import OWN
from segbench.data.bands import RGB8

MUST_BE_EQUAL = "must be equal"  # such runs are refused in one table
INVALIDATES = "invalidates"  # a difference in score cannot be attributed to the models
WEAKENS = "weakens"  # it can, but only partly or with doubt
NOTE = "note"  # worth knowing, no reason for doubt
SUBJECT = "subject"  # what a table compares: differs on purpose
NO_CHANGE = "does not change a run"
GRADES = (MUST_BE_EQUAL, INVALIDATES, WEAKENS, NOTE, SUBJECT, NO_CHANGE)


@dataclass(frozen=True)
class Rule:
    """What a difference in one property means.

    Args:
        name: name of the property, in reports and in `varies`.
        grade: one of `GRADES`.
        why: what a difference means, a sentence without its final period.
        read: gets the property from a result; None = unknown, or nothing to compare.
        keys: config keys that set it, including all keys below them that no other rule names.
        foreign: whether it is also known for predictions made elsewhere.
        resumable: whether an interrupted run may be continued with another value.
    """

    name: str
    grade: str
    why: str = ""
    read: Callable[[Result], Any] | None = None
    keys: tuple[str, ...] = ()
    foreign: bool = False
    resumable: bool = False


def rule_of(key: str) -> Rule | None:
    """The rule for a config key like `data.crop_size`: the one with the longest matching prefix."""
    while key:
        if key in _BY_KEY:
            return _BY_KEY[key]
        key = key.rpartition(".")[0]
    return None


def may_differ_on_resume(key: str) -> bool:
    """Whether an interrupted run may be continued with another value of a config key."""
    rule = rule_of(key)
    return rule is not None and rule.resumable


def varied_on_purpose(keys: Iterable[str]) -> list[str]:
    """The properties that a sweep over these config keys varies, as `varies` of compare has them.

    The seed and what a table compares anyway, such as the model, are not among them.
    """
    rules = filter(None, (rule_of(key) for key in keys if key != "data"))
    names = [rule.name for rule in rules if rule.grade in (INVALIDATES, WEAKENS)]
    return list(dict.fromkeys(n for name in names for n in (name, *_ENTAILED.get(name, ()))))


def _pretraining(result: Result) -> str:
    model = mapping_at(result.config, "model")
    starts = (model.get("encoder_weights"), model.get("path"), result.config.get("weights"))
    # Small checkpoints have the names of files without their folders.
    words = [str(start) for start in starts if start]
    names = [Path(word).name if word.startswith(("/", "~")) else word for word in words]
    return " + ".join(names) or "from scratch"


def scored_node(result: Result) -> Mapping[str, Any]:
    """The config of the data that were scored; by default a checkpoint has that of its training."""
    return mapping_at(result.config, "data") or mapping_at(result.trained_config, "data")


def _fold(result: Result) -> object:
    data = scored_node(result)
    return {"folds": data["folds"], "fold": data.get("fold")} if data.get("folds") else None


def has_own_loss(result: Result) -> bool:
    """Whether a model is trained with a loss that it brings itself."""
    return mapping_at(result.config, "loss").get("_target_") == OWN


def _loss(result: Result) -> Any:
    return "the model's own" if has_own_loss(result) else result.config.get("loss")


def _augmentation(result: Result) -> dict[str, object]:
    """The data options that no other rule covers."""
    found = leaves(dict(mapping_at(result.config, "data")), "data")
    found |= leaves(dict(mapping_at(result.config, "augment")), "augment")
    return {
        key.removeprefix("data."): value
        for key, value in found.items()
        if (rule := rule_of(key)) is not None and rule.name == "augmentation"
    }


def _trained_on(result: Result) -> dict[str, str]:
    prints = result.data_info.fingerprint if result.data_info else {}
    return {split: prints[split] for split in ("train", "val") if split in prints}


def _normalizes_over_all(result: Result) -> bool:
    is_synced = bool(mapping_at(result.config, "trainer").get("sync_batchnorm"))
    return is_synced or (result.budget.devices or 1) == 1


def _limit_of_batches(result: Result) -> Any:
    limit = mapping_at(result.config, "trainer").get("limit_train_batches")
    return 1.0 if limit is None else limit  # as Lightning reads it


def scored_data(result: Result) -> str | None:
    """The fingerprint of the scored images."""
    info = result.data_info
    return info.fingerprint.get(info.split) if info else None


def _bands(result: Result) -> Any:
    if result.protocol is None:
        return None
    bands = result.protocol.bands or RGB8  # runs of earlier versions saw nothing else
    return {"channels": bands.channels, "value_range": bands.value_range}


def _of_data(name: str) -> Callable[[Result], Any]:
    return lambda result: getattr(result.data_info, name, None)


def _of_protocol(name: str) -> Callable[[Result], Any]:
    return lambda result: getattr(result.protocol, name, None)


def _of_budget(name: str) -> Callable[[Result], Any]:
    return lambda result: getattr(result.budget, name)


def _of_config(name: str) -> Callable[[Result], Any]:
    return lambda result: result.config.get(name)


RULES = (
    # What a table compares
    Rule("model", SUBJECT, keys=("model",)),
    Rule("run", SUBJECT, keys=("study", "name", "seed")),
    # What all runs of a table must share
    Rule("data fingerprint", MUST_BE_EQUAL, "they were not scored on the same images",
         scored_data, ("data._target_",), foreign=True),
    Rule("fold", MUST_BE_EQUAL,
         "they were not scored on the same images; studies=[...] compares folds",
         _fold,
         ("data.folds", "data.fold"), foreign=True),
    Rule("label protocol", MUST_BE_EQUAL, "the classes have different meanings",
         _of_data("protocol"), foreign=True),
    Rule("comparable with published numbers", MUST_BE_EQUAL, "the data or labels differ",
         _of_data("comparable"), foreign=True),
    Rule("split", MUST_BE_EQUAL, "they were not scored on the same images",
         _of_data("split"), foreign=True),
    Rule("classes", MUST_BE_EQUAL, "the classes differ",
         lambda result: result.classes and list(result.classes.names), foreign=True),
    Rule("resolution of the scores", MUST_BE_EQUAL,
         "scores at different resolutions are not comparable",
         _of_protocol("resolution"), foreign=True),
    Rule("policy for absent classes", MUST_BE_EQUAL,
         "the mIoU of the same predictions would differ",
         _of_protocol("absent_classes"), foreign=True),
    Rule("policy for void predictions", MUST_BE_EQUAL,
         "the mIoU of the same predictions would differ",
         _of_protocol("void_prediction"), foreign=True),
    # What may explain a difference in score
    Rule("training data", INVALIDATES,
         "the models were trained or selected on different images", _trained_on),
    Rule("pretraining", INVALIDATES, "pretraining alone can add many points",
         _pretraining, ("weights", "model.encoder_weights", "model.path")),
    Rule("bands of the images", INVALIDATES, "one model sees more image bands",
         _bands, ("data.channels", "data.value_range")),
    Rule("inflated first convolution", WEAKENS,
         "its pretrained weights were made for three channels", _of_protocol("inflated")),
    Rule("kind", WEAKENS,
         "predictions of another program: how that model was trained and selected is unknown",
         lambda result: "train" if result.training else result.kind, foreign=True),
    Rule("model input size", WEAKENS, "one model sees finer detail",
         _of_protocol("resize"), ("data.resize",)),
    Rule("inference", WEAKENS, "sliding windows and TTA add points without a better model",
         _of_protocol("inference"), ("inference",)),
    Rule("augmentation", WEAKENS, "the training images differ", _augmentation, ("data", "augment")),
    Rule("loss", WEAKENS, "the loss may explain the difference", _loss, ("loss",)),
    Rule("optimizer", WEAKENS, "the optimizer may explain the difference",
         _of_config("optimizer"), ("optimizer",)),
    Rule("found learning rate", WEAKENS, "the learning rate may explain it",
         _of_budget("found_lr")),
    Rule("scheduler", WEAKENS, "the schedule may explain the difference",
         _of_config("scheduler"), ("scheduler",)),
    Rule("gradient clipping", WEAKENS, "the optimization differs",
         lambda result: mapping_at(result.config, "trainer").get("gradient_clip_val"),
         ("trainer.gradient_clip_val",)),
    Rule("callbacks", WEAKENS, "a callback may affect training",
         lambda result: result.config.get("callbacks") or None, ("callbacks",)),
    Rule("epochs", WEAKENS, "longer training usually scores higher",
         _of_budget("epochs"), ("trainer.max_epochs",)),
    Rule("steps", WEAKENS, "more optimizer steps usually score higher",
         _of_budget("steps"), ("trainer.max_steps",)),
    Rule("images seen", WEAKENS, "more images usually score higher",
         _of_budget("images_seen")),
    Rule("limit of batches", WEAKENS, "an epoch of one model has fewer batches",
         _limit_of_batches, ("trainer.limit_train_batches",)),
    Rule("effective batch size", WEAKENS, "the optimization differs",
         _of_budget("effective_batch_size"),
         ("data.batch_size", "trainer.accumulate_grad_batches", "trainer.devices",
          "trainer.num_nodes")),
    Rule("batch normalization", WEAKENS, "for one model, its statistics cover smaller batches",
         _normalizes_over_all, ("trainer.sync_batchnorm",)),
    Rule("frozen part", WEAKENS, "one model trains only a part of its weights",
         lambda result: mapping_at(result.config, "model").get("freeze"), ("model.freeze",)),
    Rule("EMA", WEAKENS, "averaged weights usually score higher", _of_budget("ema"), ("ema",)),
    Rule("early stopping", WEAKENS, "for one model, the training length is chosen on val",
         _of_config("early_stopping"), ("early_stopping",)),
    Rule("selection", WEAKENS, "selecting the best epoch on val usually scores higher",
         _of_protocol("selection"), ("selection",)),
    Rule("tuning trials", WEAKENS, "the model with more tuning has an advantage",
         _of_budget("tuning_trials"), ("tuning_trials",), resumable=True),
    Rule("commit", WEAKENS, "the code changed between the runs", lambda result: result.commit),
    # Worth knowing
    Rule("precision", NOTE, "rounding differs", _of_budget("precision"), ("precision",)),
    Rule("computation", NOTE, "operations run in a different order, so values differ by rounding",
         lambda result: {key: result.config.get(key)
                         for key in ("deterministic", "channels_last", "compile")},
         ("deterministic", "channels_last", "compile")),
    Rule("activation checkpointing", NOTE, "the same sums are computed twice",
         lambda result: bool(mapping_at(result.config, "model").get("checkpoint_activations")),
         ("model.checkpoint_activations",), resumable=True),
    Rule("frames on device", NOTE,
         "crops are made by different code, so image values differ by rounding",
         lambda result: bool(mapping_at(result.config, "data").get("frames_on_device")),
         ("data.frames_on_device",)),
    Rule("validation", NOTE, "val is scored at different epochs or on fewer images",
         lambda result: {key: mapping_at(result.config, "trainer").get(key)
                         for key in ("check_val_every_n_epoch", "limit_val_batches")},
         ("trainer.check_val_every_n_epoch", "trainer.limit_val_batches")),
    Rule("params", NOTE, "a larger model may simply have more capacity",
         lambda result: result.params),
    Rule("hardware", NOTE, "time and memory are not compared across machines",
         lambda result: result.hardware),
    Rule("versions", NOTE, "library versions differ", lambda result: result.versions, foreign=True),
    # Changes no number; the keys of the first rule must still stay the same within one run
    Rule("how it is run", NO_CHANGE,
         keys=("trainer",)),
    Rule("loading", NO_CHANGE, resumable=True,
         keys=("data.root", "data.eval_batch_size", "data.num_workers", "data.workers",
               "data.cache", "data.cache_dir",
               "data.cache_limit_gb", "data.pin_memory", "data.preview", "data.about",
               "data.show")),
    Rule("what is shown and where it goes", NO_CHANGE, resumable=True,
         keys=("resume", "overwrite", "logger", "samples", "samples_every", "log_every",
               "checkpoint_every", "run_dir",
               "allow_targets", "test", "compare", "trainer.enable_progress_bar")),
)  # fmt: skip

_BY_KEY = {key: rule for rule in RULES for key in rule.keys}
# Properties that follow from others, which a sweep varies.
_ENTAILED = {
    "epochs": ("steps", "images seen"),
    "effective batch size": ("steps",),
    "limit of batches": ("steps", "images seen"),
}
AUDITED = tuple(rule for rule in RULES if rule.grade in (INVALIDATES, WEAKENS, NOTE))
REFUSED = tuple(rule for rule in RULES if rule.grade == MUST_BE_EQUAL)
