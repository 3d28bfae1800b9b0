"""Initial weights: from a checkpoint, a state_dict, a safetensors file or a hub.

All or nothing: weights of another architecture are rejected before anything is written. Only the
classifiers (`head`, `aux_head`) may differ, in the number of classes, or be missing entirely; what
does not fit there keeps its initial values and is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from segbench.models.first_convolution import inflated, is_inflatable
from segbench.models.weight_files import entry_of, read, state_of

CLASSIFIERS = ("head.", "aux_head.")
# Prefixes that DataParallel and Lightning add to all keys of a model.
PREFIXES = ("", "module.", "model.", "module.model.", "model.module.")
ROWS = 20


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did; `str()` of it is the message to print.

    Args:
        source: as passed to `load_weights`.
        loaded: number of tensors loaded.
        reinitialized: classifier keys of another shape, with both shapes; they keep their initial
            values.
        missing: keys of the model that the weights do not have; they keep their initial values.
        unexpected: keys of the weights that the model does not have; ignored.
        inflated: first convolutions whose weights were for images with three channels.
        normalization: mean and standard deviation of the images that the weights were trained on;
            empty if the file does not tell.
    """

    source: str
    loaded: int
    reinitialized: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    inflated: tuple[str, ...] = ()
    normalization: tuple[tuple[float, ...], ...] = ()

    def __str__(self) -> str:
        lines = [f"weights {self.source}: {self.loaded} tensors loaded"]
        for title, keys in (
            ("inflated as timm does, see models/first_convolution.py", self.inflated),
            ("head re-initialized, the number of classes differs", self.reinitialized),
            ("missing in the weights, initial values kept", self.missing),
            ("unexpected in the weights, ignored", self.unexpected),
        ):
            if keys:
                lines.append(f"  {title}:")
                lines.extend(f"    {key}" for key in keys)
        return "\n".join(lines)


def load_weights(model: nn.Module, source: str) -> LoadReport:
    """Loads parameters and buffers into a model, in place.

    A model may define `translate_key(key) -> str | None` for the names in foreign checkpoints
    (None: ignored), and `adapt_state(state) -> state` where more than names differs; both must
    leave the model's own parameters unchanged. The prefixes `module.` (DataParallel) and `model.`
    (a training module) are removed if the keys then fit the model better; keys without the prefix
    (the loss of a training module) are then not part of the model.

    Args:
        model: any segbench model, just built.
        source: path of a segbench checkpoint (.ckpt), of a state_dict (.pt, .pth, read without
            running code) or of a .safetensors file; or a hub name `owner/name` (smp's hub).

    Returns:
        What was loaded and what was not; the caller prints it.

    Raises:
        ValueError: there is no such file or hub name, it is unreadable, or it is of another
            architecture. The message lists what does not match; the model is unchanged.
    """
    content = read(source)
    given, ignored = _translate(model, state_of(content, source))
    entry = entry_of(content)
    own = model.state_dict()
    widened = {
        key: given[key].shape[1]
        for key in own
        if key in given and is_inflatable(given[key], own[key])
    }
    given |= {key: inflated(given[key], own[key].shape[1]) for key in widened}
    common = own.keys() & given.keys()
    differing = [k for k in own if k in common and own[k].shape != given[k].shape]
    missing = [k for k in own if k not in given and not k.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in own]
    parts = {name for name, _ in model.named_children()}
    absent = tuple(c for c in CLASSIFIERS if not any(key.startswith(c) for key in given))
    fatal = _other_than_classes(differing, given, own)
    fatal += [key for key in missing if not key.startswith(absent)]
    # Keys of an unknown part (an ImageNet classifier) are harmless; extra layers of a known part
    # mean another architecture.
    fatal += [key for key in unexpected if key.split(".")[0] in parts]
    if fatal:
        raise ValueError(_mismatch(source, fatal, given, own, entry.get("name", "")))
    fitting = common.difference(differing)
    model.load_state_dict({key: given[key] for key in fitting}, strict=False)
    return LoadReport(
        source=source,
        loaded=len(fitting),
        inflated=tuple(
            f"{key}: {channels} -> {own[key].shape[1]} channels"
            for key, channels in widened.items()
        ),
        reinitialized=tuple(
            f"{key}: {_shape(given.get(key))} -> {_shape(own.get(key))}" for key in differing
        ),
        missing=tuple(missing),
        unexpected=(*unexpected, *ignored),
        normalization=entry.get("normalization", ()),
    )


def _translate(model: nn.Module, state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The state with the model's key names, and the keys that are not part of the model."""
    translate = getattr(model, "translate_key", lambda key: key)
    own = model.state_dict().keys()

    def fits(prefix: str) -> int:
        inner = [key.removeprefix(prefix) for key in state if key.startswith(prefix)]
        return len(own & {translate(key) for key in inner})

    prefix = max(PREFIXES, key=fits)  # the first one on a tie
    given: dict[str, Tensor] = {}
    ignored: list[str] = []
    for key, value in state.items():
        name = translate(key.removeprefix(prefix)) if key.startswith(prefix) else None
        if name is None:
            ignored.append(key)
        else:
            given[name] = value
    adapt = getattr(model, "adapt_state", lambda state: state)
    return adapt(given), ignored


def _other_than_classes(
    keys: list[str], given: dict[str, Tensor], own: dict[str, Tensor]
) -> list[str]:
    """The keys of differing shape that another number of classes does not explain.

    The number of classes determines the first axis, and the second of FCN-8s's deconvolutions; it
    must change from the same number to the same other number in all classifiers.
    """
    changes = {
        key: {(a, b) for a, b in zip(given[key].shape, own[key].shape, strict=True) if a != b}
        for key in keys
        if key.startswith(CLASSIFIERS)
        and given[key].ndim == own[key].ndim > 0
        and given[key].shape[0] != own[key].shape[0]
    }
    of_classes = len(set().union(*changes.values())) == 1
    return [key for key in keys if key not in changes or not of_classes]


def _mismatch(
    source: str, keys: list[str], given: dict[str, Tensor], own: dict[str, Tensor], name: str
) -> str:
    shown = [(k, _shape(given.get(k)), _shape(own.get(k))) for k in keys[:ROWS]]
    rows = [("key", "weights", "model"), *shown]
    wide, middle = (max(len(row[column]) for row in rows) for column in (0, 1))
    table = "\n".join(f"  {a:<{wide}}  {b:<{middle}}  {c}" for a, b, c in rows)
    rest = f"\n  ... and {len(keys) - ROWS} more" if len(keys) > ROWS else ""
    return (
        f"weights={source!r} belong to another architecture, so nothing was loaded: {len(keys)} "
        f"of {len(own.keys() | given.keys())} keys do not match. Expected weights of the same "
        f"model and arguments{f'; these are of a run {name[:80]!r}' if name else ''}\n{table}{rest}"
    )


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else "x".join(map(str, tensor.shape)) or "scalar"
