"""What a checkpoint tells of its training, for the record of its evaluation."""

from __future__ import annotations

from dataclasses import replace

from segbench.artifacts.result import Protocol, Training
from segbench.artifacts.segmenter import Segmenter
from segbench.artifacts.trained_as import weights_digest
from segbench.artifacts.typed import plain, read_as
from segbench.errors import ConfigError, ResultError


def training_of(segmenter: Segmenter) -> Training:
    """How the checkpoint was trained.

    Raises:
        ConfigError: the checkpoint was altered.
    """
    meta = segmenter.meta
    config = plain(meta["config"])
    if meta.get("origin"):
        config["model"]["path"] = meta["origin"]
    known = {key: meta.get(key, {}) for key in ("fingerprint", "trained_on")}
    known |= {
        "config": config,
        "devices": meta.get("devices"),
        "initial_weights": meta.get("initial_weights"),
        "weights": weights_digest(segmenter.ckpt),
    }
    try:
        return read_as(Training, known)
    except ResultError as error:
        raise ConfigError(f"ckpt={segmenter.ckpt}: {error}; the file was altered") from None


def protocol_of(segmenter: Segmenter) -> Protocol:
    """How its training made predictions, and whether these are the weights of the best epoch.

    Raises:
        ConfigError: the checkpoint was altered.
    """
    try:
        protocol = read_as(Protocol, segmenter.meta["protocol"])
    except ResultError as error:
        raise ConfigError(f"ckpt={segmenter.ckpt}: protocol.{error}") from None
    if segmenter.ckpt.name == "best.ckpt":  # a training writes both, whichever it tests
        return replace(protocol, selection="best")
    return replace(protocol, selection="last") if segmenter.ckpt.name == "last.ckpt" else protocol
