"""The structure of a model, read off one forward pass: stages, and the tensors between them.

A stage is everything that one part of the model (`encoder`, `decoder`, ...) computes at one
resolution. Every operation is observed as it runs, so this works for any model that can run, and an
arrow is drawn only where a tensor was passed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

Key = tuple[str, int]
IMAGE: Key = ("image", 1)
STEM = "stem"


@dataclass
class Stage:
    """The computation of one part of a model at one resolution.

    Args:
        part: name of the model's child module, such as `encoder`.
        stride: size of the image divided by the size of the maps.
        channels: channels of the last map.
        params: parameters of the layers that ran here.
        macs: multiply-accumulates of matrix products and convolutions for one image.
    """

    part: str
    stride: int
    channels: int = 0
    params: int = 0
    macs: int = 0


@dataclass
class Architecture:
    """The stages of a model in the order in which they first ran.

    Args:
        stages: see `Stage`.
        arrows: pairs of positions in `stages`, from producer to consumer.
        size: `(H, W)` of the image.
        params: parameters of the whole model, including auxiliary heads.
    """

    stages: list[Stage] = field(default_factory=list)
    arrows: list[tuple[int, int]] = field(default_factory=list)
    size: tuple[int, int] = (256, 256)
    params: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(stage.macs for stage in self.stages)


class _Observer(TorchDispatchMode):
    """Assigns every operation to a stage and follows the tensors from stage to stage."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.size = image.shape[2:]
        # Number of positions of a map at each resolution, to find the resolution of tokens.
        self.places = {
            self.size[0] // stride * (self.size[1] // stride): stride for stride in (4, 8, 16, 32)
        }
        self.parts: list[str] = []  # stack of running parts, innermost last
        self.stages: dict[Key, Stage] = {}
        self.arrows: dict[tuple[Key, Key], None] = {}
        self.current: dict[str, Key] = {}
        self.early: dict[str, int] = {}  # products of a part before its first stage
        # Tensors are kept alive, so that their ids are not reused.
        self.sources: dict[int, tuple[Tensor, set[Key]]] = {id(image): (image, {IMAGE})}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = list(_tensors((args, kwargs)))
        origins = set().union(*(self.sources[id(t)][1] for t in inputs if id(t) in self.sources))
        outputs = list(_tensors(result))
        # Outside of all parts, outputs keep the origins of the inputs; without any origin, a
        # tensor is a parameter.
        key = self._stage_of(outputs) if self.parts and origins else None
        count = flop_registry.get(func._overloadpacket)
        if key is None and count is not None and self.parts:
            # Products of parameters alone (SegNeXt's bases) belong to the stage that uses them.
            some = origins - {IMAGE}
            key = self._stage_of_origins(origins) if some else self.current.get(self.parts[-1])
        elif count is not None and not self.parts:
            # Products outside of all parts (of the classes and masks of queries): the last stage.
            key = next((known for known in reversed(self.stages) if known in origins), None)
        if key is None:
            if count is not None and self.parts:  # of queries, before the part sees a map
                early = count(*args, **(kwargs or {}), out_val=result) // 2
                self.early[self.parts[-1]] = self.early.get(self.parts[-1], 0) + early
            self._remember(outputs, origins)
            return result
        if count is not None:
            self.stages[key].macs += count(*args, **(kwargs or {}), out_val=result) // 2
        for origin in origins - {key, IMAGE}:
            self.arrows[origin, key] = None
        self._remember(outputs, {key})
        return result

    def _stage_of(self, outputs: Sequence[Tensor]) -> Key | None:
        """The stage of an operation; a map determines it, others stay in the current stage."""
        part = self.parts[-1]
        for output in outputs:
            stride, channels = self._stride_of(output)
            if stride:
                key = (part, stride)
                stage = self.stages.setdefault(key, Stage(*key))
                stage.channels = channels or stage.channels
                stage.macs += self.early.pop(part, 0)
                self.current[part] = key
                return key
        return self.current.get(part)

    def _stage_of_origins(self, origins: set[Key]) -> Key:
        """For a part that starts with a pooled map: the stage of its coarsest input."""
        key = (self.parts[-1], max(stride for _, stride in origins - {IMAGE}))
        self.stages.setdefault(key, Stage(*key))
        self.current[self.parts[-1]] = key
        return key

    def _stride_of(self, output: Tensor) -> tuple[int, int]:
        """Stride and channels of a map `[1, C, h, w]` or of tokens `[1, h w, C]`; else 0, 0.

        A map has the proportions of the image; attention matrices do not.
        """
        shape = output.shape
        if not output.is_floating_point() or not output.numel():
            return 0, 0
        if output.ndim == 3 and shape[1] in self.places:
            return self.places[shape[1]], shape[2] if shape[0] == 1 else 0
        if output.ndim == 2 and shape[0] in self.places:
            return self.places[shape[0]], shape[1]
        if output.ndim == 4 and shape[0] == 1 and min(shape[2:]) > 1:
            ratio = self.size[0] / shape[2]
            if ratio >= 1 and abs(self.size[1] / shape[3] - ratio) < 0.1 * ratio:
                return 2 ** round(math.log2(ratio)), shape[1]
        return 0, 0

    def _remember(self, outputs: Sequence[Tensor], origins: set[Key]) -> None:
        for output in outputs:
            if origins:
                self.sources[id(output)] = (output, origins)


def trace(model: nn.Module, size: tuple[int, int] = (256, 320)) -> Architecture:
    """Runs a model once and records its structure.

    Args:
        model: any model, on the CPU; it is set to eval mode.
        size: `(H, W)` of the image. Not square by default, to distinguish maps from matrices.
    """
    model.eval()
    image = torch.zeros(1, 3, *size)
    called = _called(model, image)
    observer = _Observer(image)
    booked: dict[nn.Module, Key] = {}

    with ExitStack() as stack:
        for module in model.modules():
            if list(module.parameters(recurse=False)):

                def book(module: nn.Module, _: Any, __: Any) -> None:
                    key = observer.current.get(observer.parts[-1]) if observer.parts else None
                    if key is not None and module not in booked:
                        booked[module] = key
                        observer.stages[key].params += _own_params(module)

                stack.callback(module.register_forward_hook(book).remove)
        for name, child in model.named_children():
            for part, module in _parts(name, child, called):
                _enter_and_leave(module, part, observer, stack)
        stack.enter_context(torch.no_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(observer)
        model(image)
    # Parameters of modules that are not called themselves (position embeddings of a ViT encoder,
    # the output of torch's attention) or see no map (queries, which the last stage uses).
    last = list(observer.stages)[-1:]
    for name, module in model.named_modules():
        if module in booked or module is model or not _own_params(module):
            continue
        inside = [booked[child] for child in module.modules() if child in booked]
        around = [booked[outer] for outer in _around(model, name) if outer in booked]
        if of := inside or around or (last if module in called else []):
            observer.stages[of[0]].params += _own_params(module)
    # An encoder may shrink a copy of its first maps (attention in SegFormer): finest maps first.
    encoder = iter(sorted(key for key in observer.stages if key[0] == "encoder"))
    order = [next(encoder) if key[0] == "encoder" else key for key in observer.stages]
    places = {key: number for number, key in enumerate(order)}
    arrows = sorted({(places[a], places[b]) for a, b in observer.arrows})
    params = sum(p.numel() for p in model.parameters())
    return Architecture([observer.stages[key] for key in order], arrows, size, params)


def _own_params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters(recurse=False))


def _around(model: nn.Module, name: str) -> list[nn.Module]:
    """The modules that contain this one, the innermost first, without the model itself."""
    parts = name.split(".")
    return [model.get_submodule(".".join(parts[:end])) for end in range(len(parts) - 1, 0, -1)]


def _called(model: nn.Module, image: Tensor) -> set[nn.Module]:
    """The modules that run."""
    found: set[nn.Module] = set()
    with ExitStack() as stack, torch.no_grad():
        for module in model.modules():
            handle = module.register_forward_pre_hook(lambda module, _: found.add(module))
            stack.callback(handle.remove)
        model(image)
    return found


def _parts(name: str, child: nn.Module, called: set[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """A child of the model; if it does not run itself, such as a list, its members one by one.

    Single layers before the first block are its stem; pooling and dropout are not parts.
    """
    if child not in called:
        for member in child.children():
            if list(member.parameters()):
                yield from _parts(name, member, called)
    elif any(True for _ in child.parameters()):
        is_layer = not list(child.children())
        yield (STEM if is_layer and name[-1].isdigit() else name), child


def _enter_and_leave(module: nn.Module, part: str, observer: _Observer, stack: ExitStack) -> None:
    def enter(_: Any, __: Any) -> None:
        observer.parts.append(part)

    def leave(_: Any, __: Any, ___: Any) -> None:
        observer.parts.pop()

    stack.callback(module.register_forward_pre_hook(enter).remove)
    stack.callback(module.register_forward_hook(leave).remove)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
