"""Time, memory and rounding of the losses, compared with segmentation_models_pytorch (smp).

    python -m benchmarks.losses                                  # 8 x 19 x 512 x 512, one thread
    python -m benchmarks.losses --threads 2 --only ce_dice torch_ce
    python -m benchmarks.losses --size 2 5 64 64 --repeats 1     # seconds, to check that it runs

Every row is one forward and backward pass on float32 logits and an int64 mask with 5% ignored
pixels; the first row is the pair of losses that is most commonly used.

Time: median over rounds in which every loss has one turn, so that other load affects all equally.
Memory: increase of the peak resident size over that with only the inputs allocated, including the
gradient of the logits, each loss in its own process (on CUDA the allocator's peak, in one process).
Error: against float64, computed by the library's loss if it defines the same quantity, else by the
loss itself; of the value, and of the gradient relative to its largest entry.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from segbench.losses.boundary import BoundaryF1
from segbench.losses.ce_dice import CEDice
from segbench.losses.cross_entropy import CrossEntropy
from segbench.losses.focal import Focal
from segbench.losses.lovasz import Lovasz
from segbench.losses.ohem import OHEM
from segbench.losses.overlap import Dice, Jaccard, Tversky

IGNORE = 255
PAIR = "smp_ce_dice"
# The loss whose float64 result a row is compared with, if not its own. smp's focal loss is
# another quantity (a sum of binary ones), and its Lovasz loss does not run in float64.
EXACT = {
    "ce_dice": PAIR,
    "ce": "torch_ce",
    "dice": "smp_dice",
    "jaccard": "smp_jaccard",
    "tversky": "smp_tversky",
    "smp_lovasz": "lovasz",
}

Loss = Callable[[Tensor, Tensor], Tensor]


def library_losses() -> dict[str, Loss]:
    """Common alternatives, by the name of the row."""
    from segmentation_models_pytorch import losses as smp

    mode = {"mode": "multiclass", "ignore_index": IGNORE}
    ce, dice = torch.nn.CrossEntropyLoss(ignore_index=IGNORE), smp.DiceLoss(**mode)
    return {
        PAIR: lambda logits, mask: ce(logits, mask) + dice(logits, mask),
        "torch_ce": ce,
        "smp_dice": dice,
        "smp_jaccard": smp.JaccardLoss(**mode),
        "smp_tversky": smp.TverskyLoss(**mode, alpha=0.3, beta=0.7),
        "smp_focal": smp.FocalLoss(**mode),
        "smp_lovasz": smp.LovaszLoss(**mode),
    }


OURS: dict[str, Loss] = {
    "ce_dice": CEDice(IGNORE),
    "ce": CrossEntropy(IGNORE),
    "dice": Dice(IGNORE),
    "jaccard": Jaccard(IGNORE),
    "tversky": Tversky(IGNORE, alpha=0.3, beta=0.7),
    "focal": Focal(IGNORE),
    "lovasz": Lovasz(IGNORE),
    "ohem": OHEM(IGNORE),
    "boundary": BoundaryF1(IGNORE),
}


def inputs(size: list[int], device: str) -> tuple[Tensor, Tensor]:
    """Logits and a mask of blocks, with most pixels predicted correctly."""
    images, num_classes, height, width = size
    generator = torch.Generator().manual_seed(0)
    shape = images, -(-height // 16), -(-width // 16)
    # All classes are present: smp averages over all classes, ours over those in the mask.
    blocks = (torch.randperm(math.prod(shape), generator=generator) % num_classes).view(shape)
    mask = blocks.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, :height, :width].clone()
    logits = torch.randn(size, generator=generator)
    logits.scatter_(1, mask[:, None], 3.0)
    mask[torch.rand(mask.shape, generator=generator) < 0.05] = IGNORE
    return logits.to(device), mask.to(device)


def step(loss: Loss, logits: Tensor, mask: Tensor) -> tuple[float, Tensor]:
    """One forward and backward pass."""
    logits = logits.detach().requires_grad_()
    value = loss(logits, mask)
    value.backward()
    assert logits.grad is not None
    return value.item(), logits.grad


def peak_mebibytes(loss: Loss, size: list[int], device: str) -> float:
    """Increase of the peak memory during one step; on the CPU, call it in a new process."""
    step(loss, *inputs([1, size[1], 8, 8], device))  # loads code, which does not count
    logits, mask = inputs(size, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.max_memory_allocated()
        step(loss, logits, mask)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(loss, logits, mask)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return grown / (2**20 if sys.platform == "darwin" else 2**10)


def peak_in_new_process(name: str, arguments: argparse.Namespace) -> float:
    """A child inherits its parent's peak memory, so run this before the parent grows."""
    command = [sys.executable, __file__, "--peak", name, "--threads", str(arguments.threads)]
    command += ["--size", *map(str, arguments.size)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
    return float(done.stdout)


def median_times(
    losses: dict[str, Loss], logits: Tensor, mask: Tensor, repeats: int
) -> dict[str, float]:
    """Seconds per step, every loss once per round, after a warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in losses}
    for _ in range(repeats + 1):
        for name, loss in losses.items():
            start = time.perf_counter()
            step(loss, logits, mask)  # its .item() is a sync
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(values[1:])) for name, values in times.items()}


def errors(name: str, losses: dict[str, Loss], logits: Tensor, mask: Tensor) -> tuple[float, float]:
    """Error of the value (absolute) and of the gradient (relative to its largest entry)."""
    value, gradient = step(losses[name], logits, mask)
    reference = losses[EXACT.get(name, name)]
    exact, exact_gradient = step(reference, logits.double(), mask)
    largest = exact_gradient.abs().max()
    worst = exact_gradient.sub_(gradient).abs_().max() / largest
    return abs(value - exact), worst.item()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs=4, default=[8, 19, 512, 512], metavar="N")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--only", nargs="+", help="names of the rows to show")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak:
        loss = OURS.get(arguments.peak) or library_losses()[arguments.peak]
        print(peak_mebibytes(loss, arguments.size, "cpu"))
        return

    losses = library_losses() | OURS
    unknown = set(arguments.only or []) - set(losses)
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(losses)}")
    names = [n for n in losses if not arguments.only or n in (PAIR, *arguments.only)]
    if arguments.device == "cpu":
        peaks = {name: peak_in_new_process(name, arguments) for name in names}
    else:
        peaks = {name: peak_mebibytes(losses[name], arguments.size, "cuda") for name in names}
    logits, mask = inputs(arguments.size, arguments.device)
    times = median_times({n: losses[n] for n in names}, logits, mask, arguments.repeats)

    size = " x ".join(map(str, arguments.size))
    version = torch.__version__
    print(f"{size} float32, {arguments.device}, {arguments.threads} threads, torch {version}")
    print(
        f"{'loss':12} {'ms':>8} {'x':>6} {'MiB':>6} {'memory':>7} {'value err':>10} {'grad err':>9}"
    )
    for name in names:
        value_error, gradient_error = errors(name, losses, logits, mask)
        print(
            f"{name:12} {times[name] * 1e3:8.1f} {times[PAIR] / times[name]:6.2f} "
            f"{peaks[name]:6.0f} {peaks[name] / (peaks[PAIR] or math.nan):7.0%} "
            f"{value_error:10.1e} {gradient_error:9.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
