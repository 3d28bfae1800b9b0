"""Our models beside those of transformers, of the same size: CPU time of inference and training.

    python -m benchmarks.against_transformers                       all pairs, 256x256
    python -m benchmarks.against_transformers segformer_b0 --side 128 --rounds 5

Ours and theirs take turns, so that other programs disturb both. The ratio is the median of those of
the turns, of the process's CPU time; above 1, ours is faster. A training step is forward, loss and
backward: cross entropy for SegFormer and UPerNet, with the auxiliary head, and the loss with
queries for the others. Both give logits at the size of the image.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models.eomt import EoMT
from segbench.models.mask2former import Mask2Former
from segbench.models.query_loss import masks_of_classes
from segbench.models.smp_transformers import segformer
from segbench.models.upernet import UPerNet

CLASSES, BATCH = 19, 2
STAGES = ["stage1", "stage2", "stage3", "stage4"]


def pairs(side: int) -> dict[str, Callable[[], tuple[nn.Module, nn.Module]]]:
    """Builds ours and theirs, by the name of ours."""
    hf: Any = transformers
    labels = {"num_labels": CLASSES}

    def upernet(encoder: str, backbone: Any) -> tuple[nn.Module, nn.Module]:
        config = hf.UperNetConfig(backbone_config=backbone, auxiliary_channels=256, **labels)
        return UPerNet(CLASSES, encoder), hf.UperNetForSemanticSegmentation(config)

    def swin() -> Any:
        return hf.SwinConfig(out_features=STAGES, drop_path_rate=0.3)

    def mask2former() -> tuple[nn.Module, nn.Module]:
        config = hf.Mask2FormerConfig(backbone_config=swin(), **labels)
        return Mask2Former(CLASSES), hf.Mask2FormerForUniversalSegmentation(config)

    def eomt() -> tuple[nn.Module, nn.Module]:
        config = hf.EomtConfig(
            hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=side,
            num_blocks=3, num_queries=100, **labels,
        )  # fmt: skip
        return EoMT(CLASSES, image_size=side), hf.EomtForUniversalSegmentation(config)

    return {
        "segformer_b0": lambda: (
            segformer(CLASSES),
            hf.SegformerForSemanticSegmentation(hf.SegformerConfig(**labels)),
        ),
        "upernet_convnext_tiny": lambda: upernet(
            "convnext_tiny",
            hf.ConvNextConfig(
                hidden_sizes=[96, 192, 384, 768],
                depths=[3, 3, 9, 3],
                out_features=STAGES,
                drop_path_rate=0.4,
            ),
        ),
        "upernet_swin_tiny": lambda: upernet("swin_tiny_patch4_window7_224", swin()),
        "mask2former_swin_tiny": mask2former,
        "eomt_vit_small": eomt,
    }


def ours_step(model: Any, image: Tensor, mask: Tensor) -> Tensor:
    """The loss of one step."""
    if hasattr(model, "training_loss"):
        return torch.stack(list(model.training_loss(image, mask).values())).sum()
    if getattr(model, "aux_weight", 0):
        logits, (aux,) = model.forward_with_aux(image)
        return F.cross_entropy(logits, mask) + model.aux_weight * F.cross_entropy(aux, mask)
    return F.cross_entropy(model(image), mask)


def theirs_step(model: Any, image: Tensor, mask: Tensor) -> Tensor:
    """The loss that transformers computes."""
    if hasattr(model, "criterion"):
        labels, masks = zip(*(masks_of_classes(m, CLASSES) for m in mask), strict=True)
        return model(image, mask_labels=list(masks), class_labels=list(labels)).loss
    return model(image, labels=mask).loss


def theirs_logits(model: Any, image: Tensor) -> Tensor:
    """Logits, or scores, at the size of the image."""
    found = model(image)
    if hasattr(found, "logits"):
        return F.interpolate(found.logits, image.shape[2:], mode="bilinear")
    classes = found.class_queries_logits.softmax(-1)[..., :-1]
    masks = F.interpolate(found.masks_queries_logits, image.shape[2:], mode="bilinear").sigmoid()
    return torch.einsum("nqc,nqhw->nchw", classes, masks)


def ratio(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Seconds of ours, and how many times as many theirs takes; of CPU time."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for call, seconds in zip((ours, theirs), taken, strict=True):
            start = time.process_time()
            call()
            if turn:  # the first is for warming up
                seconds.append(time.process_time() - start)
    ratios = [second / first for first, second in zip(*taken, strict=True)]
    return statistics.median(taken[0]), statistics.median(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="models; all by default")
    parser.add_argument("--side", type=int, default=256, help="pixels, a multiple of 32")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    known = pairs(arguments.side)
    if unknown := set(arguments.names) - set(known):
        raise SystemExit(f"unknown: {', '.join(unknown)}; expected some of {', '.join(known)}")
    image = torch.randn(BATCH, 3, arguments.side, arguments.side)
    mask = torch.randint(0, CLASSES, (BATCH, arguments.side, arguments.side))
    print(f"batch {BATCH}, {arguments.side}x{arguments.side}, {torch.get_num_threads()} threads")
    print("| model | inference, s | theirs / ours | training step, s | theirs / ours |")
    print("|---|---:|---:|---:|---:|")
    for name in arguments.names or known:
        torch.manual_seed(0)
        cells = compared(*known[name](), image, mask, arguments.rounds)
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in cells) + " |", flush=True)


def compared(
    ours: Any, theirs: Any, image: Tensor, mask: Tensor, rounds: int
) -> tuple[float, float, float, float]:
    """Seconds and ratio of inference, as after a training, and of a step at its beginning."""
    is_eomt = hasattr(ours, "set_progress")
    ours.eval(), theirs.eval()
    if is_eomt:
        ours.set_progress(1.0)
        theirs.attn_mask_probs.zero_()
    with torch.inference_mode():
        inference = ratio(lambda: ours(image), lambda: theirs_logits(theirs, image), rounds)
    ours.train(), theirs.train()
    if is_eomt:
        ours.set_progress(0.0)
        theirs.attn_mask_probs.fill_(1)
    step = ratio(
        lambda: ours_step(ours, image, mask).backward(),
        lambda: theirs_step(theirs, image, mask).backward(),
        rounds,
    )
    return *inference, *step


if __name__ == "__main__":
    main()
