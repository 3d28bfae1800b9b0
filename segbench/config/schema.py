"""The typed top level of `conf/train.yaml`: every key, its type, its default, what it means.

Hydra refuses unknown keys and wrong types with the help of this class. What stands below a config
group (`model`, `data`, ...) is checked against the signature of its `_target_` instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from segbench.config.fields import LARGEST_SEED, choice, path, within


@dataclass
class TrainConfig:
    """Everything that `python -m segbench.train` understands at the top level."""

    # What and where
    study: str = "default"
    name: str = MISSING
    seed: int = within(0, 0, LARGEST_SEED)
    run_dir: str = path()
    # auto: continue an unfinished run of the same config; never: refuse to touch one
    resume: str = choice("auto", "never")
    overwrite: bool = False

    # The parts, one config group each
    data: Any = MISSING
    model: Any = MISSING
    loss: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    # Lightning callbacks by name, each with a `_target_`
    callbacks: Any = None
    inference: Any = MISSING

    # How
    weights: str | None = path(None)
    # auto: bf16 where the GPU has it, fp16 with loss scaling on an older one, 32 bit on CPU
    precision: str = choice("auto", "32-true", "bf16-mixed", "16-mixed")
    deterministic: bool = False
    channels_last: bool = True
    compile: bool = False
    ema: float | None = within(None, 0, 1)
    # seconds between two checkpoints to resume from, at the end of epochs; 0: at every one
    checkpoint_every: float = within(60.0, 0)
    # which weights are tested: those with the best val/mIoU, or the last
    selection: str = choice("best", "last")
    early_stopping: int | None = within(None, 1)
    # false: val is scored, test is not, as in the trials of a tuning
    test: bool = True
    # trials spent on tuning this model, for the fairness audit
    tuning_trials: int = within(0, 0)
    # keys of segbench.compare, which then reports on the study when a sweep ends; null: no report
    compare: Any = None

    # What to show
    samples: int = within(4, 0)
    samples_every: int = within(1, 1)
    log_every: int = within(20, 1)

    # Modules of yours that a config may name in a `_target_`, besides segbench and its libraries
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class EvaluateConfig:
    """Everything that `python -m segbench.evaluate` understands at the top level."""

    # What to score: a checkpoint, or a folder of label maps by any program
    ckpt: str | None = path(None)
    predictions: str | None = path(None)
    # On what: a checkpoint knows its data set; `root` says where it lies on this machine
    data: Any = None
    root: str | None = path(None)
    split: str = choice("test", "val")
    # null: as the checkpoint was tested
    inference: Any = None

    # Where the result goes: run_dir, or runs/STUDY/NAME/seedN
    study: str = "evaluations"
    name: str | None = None
    seed: int | None = within(None, 0)
    run_dir: str | None = path(None)

    # Scores
    absent_classes: str = choice("exclude", "zero", "one")
    boundary: bool = True
    calibration: bool = True

    # Reading predictions
    format: str = choice("auto", "ids", "color", "label_ids")
    void_values: list[int] = field(default_factory=list)
    partial: bool = False

    # Pictures of the worst images, and the predictions themselves
    gallery: int = within(6, 0)
    save: str = choice("none", "ids", "cityscapes")

    device: str = "auto"
    batch_size: int | None = within(None, 1)
    num_workers: int | None = within(None, 0)
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class PredictConfig:
    """Everything that `python -m segbench.predict` understands at the top level."""

    source: str = path()
    ckpt: str | None = path(None)
    output: str = path("predictions")
    # null: as the checkpoint was tested
    inference: Any = None
    # auto: as high as in training; null: as the picture is; [H, W]
    resize: Any = "auto"
    drop_class: str | None = None

    # What to write, and how it looks
    # null: ids, color, overlay and side_by_side of images; overlay of videos
    write: list[str] | None = None
    classes: list[str] | None = None
    alpha: float = within(0.5, 0, 1)
    legend: bool = True

    # Post-processing, in this order
    refine_edges: bool = False
    majority_window: int = within(1, 1)
    min_region: int = within(0, 0)

    device: str = "auto"
    writers: int = within(2, 1)
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class CompareConfig:
    """Everything that `python -m segbench.compare` understands at the top level."""

    # Which runs: RUNS/STUDY/*/seed*, all of them or only those of these names (MODEL-DATA)
    study: str | None = None
    # instead: several studies, each of another data set; the report goes to RUNS/A+B+C/report
    studies: list[str] = field(default_factory=list)
    runs: str = path("runs")
    only: list[str] = field(default_factory=list)
    # The score that is tested; the other one is shown beside it
    metric: str = choice("mIoU", "mDice")
    # null: the runner-up
    baseline: str | None = None
    # the largest loss against the baseline that does not matter, in points; null: as the study file
    # says (compare.margin), which fixes it before the first run
    margin: float | None = within(None, 0.01, 100)

    # Statistics. What is resampled; auto: groups where there are ten or more, else blocks of frames
    unit: str = choice("auto", "image", "block", "group")
    # images per block; null: chosen from the autocorrelation of the images
    block_length: int | None = within(None, 1)
    replicates: int = within(10_000, 100)
    confidence: float = within(0.95, 0.5, 0.9999)

    # Audit: fields that the study varies on purpose; strict: anything graver than a note fails
    varies: list[str] = field(default_factory=list)
    strict: bool = False

    gallery: int = within(4, 0)
    wandb: bool = True


@dataclass
class BenchmarkConfig:
    """Everything that `python -m segbench.benchmark` understands at the top level."""

    # What to measure: models of conf/model, or [all] (model=a,b is short for models=[a,b]), or
    # those of a study's runs
    models: list[str] | None = None
    study: str | None = None
    # For the number of classes and the training step; the runs of a study bring their own
    data: Any = MISSING

    # How: sizes [[H, W], ...]; a mode is eager or any of channels_last, bf16, fp16, compile, joined
    # by +
    sizes: list[Any] = field(default_factory=lambda: [[360, 480]])
    modes: list[str] = field(default_factory=lambda: ["channels_last"])
    batch_sizes: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    train_batch: int = within(4, 1)
    # timed training steps; 0 leaves training out
    train_steps: int = within(10, 0)
    # of each timing, in so many rounds whose spread is printed
    seconds: float = within(2.0, 0.01)
    rounds: int = within(5, 2)

    # null: runs/STUDY/benchmark.json, where compare finds it, or benchmark.json
    output: str | None = path(None)
    device: str = "auto"
    # modules of one's own whose classes the runs of the study may name
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class CheckDataConfig:
    """Everything that `python -m segbench.check_data` understands at the top level."""

    data: Any = MISSING
    # where the report goes
    output: str = path()
    # exit 1 on warnings too
    strict: bool = False


@dataclass
class ExportConfig:
    """Everything that `python -m segbench.export` understands at the top level."""

    ckpt: str = path()
    format: str = choice("onnx", "ckpt")
    # null: beside the checkpoint
    output: str | None = path(None)
    # ckpt only: keep the weights in 16 bits, half the size
    half: bool = False
    # onnx only: also put the label map into the graph, as a second output
    argmax: bool = False
    # onnx only: int8 by ONNX Runtime; static needs the images below to calibrate
    quantize: str = choice("none", "dynamic", "static")
    # onnx only: also write the torch.export program (.pt2)
    program: bool = False

    # The images that the file is checked on: pictures, or the test images of the checkpoint's data
    source: str | None = path(None)
    root: str | None = path(None)
    images: int = within(4, 1)
    # at least this share of pixels gets the same class, and logits differ by at most this share
    agreement: float = within(0.999, 0, 1)
    tolerance: float = within(1e-3, 0)
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class ExplainConfig:
    """Everything that `python -m segbench.explain` understands at the top level."""

    what: str = choice("heatmaps", "embeddings", "architecture")
    ckpt: str | None = path(None)
    output: str = path("explanations")

    # Pictures of yours, or a split of the checkpoint's data set
    source: str | None = path(None)
    root: str | None = path(None)
    split: str = choice("test", "val", "train")
    images: int = within(3, 1)
    # a module's name, or head.input; null: the deepest map (heat maps), head.input (embeddings)
    layer: str | None = None

    # Heat maps: of these classes (null: the three most frequent), for [y, x] or
    # [top, left, bottom, right] of the image (null: where the class is predicted)
    classes: list[str] | None = None
    pixel: list[int] | None = None
    region: list[int] | None = None
    method: str = choice("hirescam", "gradcam")

    # Embeddings
    projection: str = choice("tsne", "pca", "umap")
    per_class: int = within(200, 1)
    least: int = within(10, 1)
    neighbors: int = within(10, 1)
    seed: int = within(0, 0, LARGEST_SEED)

    # Architecture: models of conf/model, or [all] (model=a,b is short for models=[a,b])
    models: list[str] | None = None
    size: list[int] = field(default_factory=lambda: [256, 320])
    num_classes: int = within(19, 1)

    device: str = "auto"
    allow_targets: list[str] = field(default_factory=list)


SCHEMAS = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "predict": PredictConfig,
    "compare": CompareConfig,
    "benchmark": BenchmarkConfig,
    "check_data": CheckDataConfig,
    "export": ExportConfig,
    "explain": ExplainConfig,
}


def register() -> None:
    """Makes every verb's schema known to Hydra as `VERB_schema`."""
    for verb, schema in SCHEMAS.items():
        ConfigStore.instance().store(f"{verb}_schema", schema)
