"""Time and memory of `segbench.compare`, from the runs on disk to the written report.

    OMP_NUM_THREADS=1 python -m benchmarks.compare            both sizes below
    OMP_NUM_THREADS=1 python -m benchmarks.compare 3 5 2000 150

Fabricates a study (models, seeds, images, classes), starts `segbench.compare` on it, and prints its
seconds and peak memory. The limit is 60 s and 1.5 GB, with the 10,000 replicates of the default,
for 3 models x 5 seeds x 2,000 images x 150 classes and for 20 x 10 x 2,000 x 19.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from segbench.artifacts.result import Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.metrics.scores import scores

SIZES = ((3, 5, 2000, 150), (20, 10, 2000, 19))
IN_IMAGE = 12  # classes of one image, at most


def fabricate(root: Path, models: int, seeds: int, images: int, classes: int) -> None:
    """Writes `root/study` with runs whose every image has a few classes, some confused."""
    rng = np.random.default_rng(0)
    names = [f"class{c}" for c in range(classes)]
    seen = [rng.choice(classes, min(IN_IMAGE, classes), replace=False) for _ in range(images)]
    labeled = rng.integers(1_000, 20_000, (images, len(seen[0])))
    for model in range(models):
        for seed in range(seeds):
            recall = np.clip(0.7 + 0.01 * model + 0.02 * rng.standard_normal(), 0, 1)
            matrices = np.zeros((images, classes, classes + 1), np.int64)
            for matrix, present, pixels in zip(matrices, seen, labeled, strict=True):
                hits = rng.binomial(pixels, recall)
                matrix[present, present] = hits
                matrix[present, np.roll(present, 1)] += pixels - hits
            folder = RunDirectory(root / f"study/model{model}-data/seed{seed}")
            folder.path.mkdir(parents=True)
            groups = [f"drive{i * 7 // images}" for i in range(images)]
            folder.write_confusion([f"i{i:05}" for i in range(images)], groups, matrices)
            content = _content(f"model{model}-data", seed, names, scores(matrices.sum(0), names))
            folder.write_result(Result.from_dict(content))


def _content(name: str, seed: int, names: list[str], found: dict) -> dict:
    """result.json of a finished run."""
    return {
        "schema_version": 1, "status": "finished", "kind": "train", "study": "study",
        "name": name, "seed": seed, "data": "segbench.data.sources.folder.Folder",
        "config": {"name": name},
        "classes": {"names": names, "colors": [[c + 1, 0, 0] for c in range(len(names))],
                    "ignore_index": 255, "void_color": [0, 0, 0]},
        "data_info": {"fingerprint": {"test": "0a1b"}, "protocol": "fabricated",
                      "comparable": False, "split": "test"},
        "protocol": {}, "scores": {"test": found},
    }  # fmt: skip


def measure(models: int, seeds: int, images: int, classes: int) -> None:
    """Prints what one size takes."""
    with tempfile.TemporaryDirectory() as folder:
        fabricate(Path(folder), models, seeds, images, classes)
        written = sum(file.stat().st_size for file in Path(folder).rglob("confusion.npz"))
        command = [sys.executable, "-m", "segbench.compare", "study=study", "wandb=false"]
        command += [f"runs={folder}"]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"segbench.compare ended with {os.waitstatus_to_exitcode(status)}")
    print(
        f"{models} models x {seeds} seeds x {images} images x {classes} classes: "
        f"{seconds:.1f} s ({usage.ru_utime + usage.ru_stime:.1f} s CPU time), "
        f"peak memory {usage.ru_maxrss / 1024:.0f} MiB, "
        f"confusion.npz {written / models / seeds / 2**20:.2f} MiB a run"
    )


def main() -> None:
    """Measures the sizes of the limit, or the one that is given."""
    given = tuple(int(word) for word in sys.argv[1:])
    for size in (given,) if given else SIZES:
        measure(*size)


if __name__ == "__main__":
    main()
