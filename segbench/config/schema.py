"""The typed top level of each verb's config: every key, its type, default and meaning.

Hydra rejects unknown keys and wrong types with the help of these classes. Keys below a config
group (`model`, `data`, ...) are checked against the signature of its `_target_` instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from segbench.config.compare_schema import CompareConfig, PaperConfig
from segbench.config.fields import LARGEST_SEED, choice, path, within


@dataclass
class TrainConfig:
    """All top-level keys of `python -m segbench.train`."""

    # What and where
    study: str = "default"
    name: str = MISSING
    seed: int = within(0, 0, LARGEST_SEED)
    run_dir: str = path()
    # auto: continue an unfinished run of the same config; never: refuse to overwrite one
    resume: str = choice("auto", "never")
    overwrite: bool = False

    # The components, one config group each
    data: Any = MISSING
    model: Any = MISSING
    loss: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    # Lightning callbacks by name, each with a `_target_`
    callbacks: Any = None
    # albumentations transforms by name, each with a `_target_`
    augment: Any = None
    inference: Any = MISSING

    # Training
    weights: str | None = path(None)
    # auto: bf16 if the GPU supports it, fp16 with loss scaling on an older GPU, 32 bit on CPU
    precision: str = choice("auto", "32-true", "bf16-mixed", "16-mixed")
    deterministic: bool = False
    channels_last: bool = True
    compile: bool = False
    ema: float | None = within(None, 0, 1)
    # minimum seconds between checkpoints for resuming, saved at the end of epochs; 0: every epoch
    checkpoint_every: float = within(60.0, 0)
    # which weights are tested: those with the best val/mIoU, or the last ones
    selection: str = choice("best", "last")
    early_stopping: int | None = within(None, 1)
    # false: validate but do not test, as in tuning trials
    test: bool = True
    # number of tuning trials spent on this model, for the fairness audit
    tuning_trials: int = within(0, 0)
    # keys of segbench.compare, which reports on the study when a sweep ends; null: no report
    compare: Any = None

    # Output
    samples: int = within(4, 0)
    samples_every: int = within(1, 1)
    log_every: int = within(20, 1)

    # Modules of your own that a `_target_` may name, besides segbench and its libraries
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class EvaluateConfig:
    """All top-level keys of `python -m segbench.evaluate`."""

    # What to score: a checkpoint, or a folder of label maps from any program
    ckpt: str | None = path(None)
    predictions: str | None = path(None)
    confidence: str | None = path(None)  # a map of the confidence for each label map
    # Data: a checkpoint knows its data set; `root` sets where it is on this machine
    data: Any = None
    root: str | None = path(None)
    split: str = choice("test", "val")
    # null: as in the test of the checkpoint
    inference: Any = None

    # Where to write the result: run_dir, or runs/STUDY/NAME/seedN
    study: str = "evaluations"
    name: str | None = None
    seed: int | None = within(None, 0)
    run_dir: str | None = path(None)

    absent_classes: str = choice("exclude", "zero", "one")
    boundary: bool = True
    calibration: bool = True
    corruptions: Any = None  # all, or names of imagecorruptions; each at these severities
    severities: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 5])
    surface: bool = False  # HD95 and NSD, in units of `spacing` (height and width of a pixel)
    spacing: list[float] = field(default_factory=lambda: [1.0, 1.0])
    tolerance: float = within(1.0, 0)

    format: str = choice("auto", "ids", "color", "label_ids")
    void_values: list[int] = field(default_factory=list)
    partial: bool = False

    # Images of the worst predictions, and the predictions themselves
    gallery: int = within(6, 0)
    save: str = choice("none", "ids", "cityscapes")

    device: str = "auto"
    batch_size: int | None = within(None, 1)
    num_workers: int | None = within(None, 0)
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class PredictConfig:
    """All top-level keys of `python -m segbench.predict`."""

    source: str = path()
    ckpt: str | None = path(None)
    output: str = path("predictions")
    # null: as in the test of the checkpoint
    inference: Any = None
    # auto: scale to the height used in training; null: keep the image size; [H, W]
    resize: Any = "auto"
    drop_class: str | None = None

    # What to write, and how it looks
    # null: ids, color, overlay and side_by_side for images; overlay for videos
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
class BenchmarkConfig:
    """All top-level keys of `python -m segbench.benchmark`."""

    # What to measure: models of conf/model, or [all] (model=a,b is short for models=[a,b]), or the
    # models of a study's runs
    models: list[str] | None = None
    study: str | None = None
    # Gives the number of classes and the images for training steps; runs of a study use their own
    data: Any = MISSING

    # Settings: sizes [[H, W], ...]; a mode is eager or a combination of channels_last, bf16, fp16,
    # compile with +
    sizes: list[Any] = field(default_factory=lambda: [[360, 480]])
    modes: list[str] = field(default_factory=lambda: ["channels_last"])
    batch_sizes: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    train_batch: int = within(4, 1)
    # number of timed training steps; 0: do not time training
    train_steps: int = within(10, 0)
    # duration of each timing, split into rounds whose spread is reported
    seconds: float = within(2.0, 0.01)
    rounds: int = within(5, 2)

    # null: runs/STUDY/benchmark.json, where compare looks for it, or benchmark.json
    output: str | None = path(None)
    device: str = "auto"
    # modules of your own whose classes the runs of the study may use
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class CheckDataConfig:
    """All top-level keys of `python -m segbench.check_data`."""

    data: Any = MISSING
    # where to write the report
    output: str = path()
    # exit with 1 on warnings, too
    strict: bool = False


@dataclass
class ExportConfig:
    """All top-level keys of `python -m segbench.export`."""

    ckpt: str = path()
    format: str = choice("onnx", "ckpt")
    # null: next to the checkpoint
    output: str | None = path(None)
    # ckpt only: store the weights in 16 bits, which halves the size
    half: bool = False
    # onnx only: add the label map to the graph as a second output
    argmax: bool = False
    # onnx only: int8 with ONNX Runtime; static needs the images below for calibration
    quantize: str = choice("none", "dynamic", "static")
    # onnx only: also write the torch.export program (.pt2)
    program: bool = False

    # The images that the file is checked on: image files, or the checkpoint's test split
    source: str | None = path(None)
    root: str | None = path(None)
    images: int = within(4, 1)
    # required share of pixels with the same class, and allowed relative difference of logits
    agreement: float = within(0.999, 0, 1)
    tolerance: float = within(1e-3, 0)
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class ExplainConfig:
    """All top-level keys of `python -m segbench.explain`."""

    what: str = choice("heatmaps", "embeddings", "architecture")
    ckpt: str | None = path(None)
    output: str = path("explanations")

    # Your own images, or a split of the checkpoint's data set
    source: str | None = path(None)
    root: str | None = path(None)
    split: str = choice("test", "val", "train")
    images: int = within(3, 1)
    # name of a module, or head.input; null: the deepest map (heat maps), head.input (embeddings)
    layer: str | None = None

    # Heat maps: for these classes (null: the three most frequent), at [y, x] or in
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
    "paper": PaperConfig,
    "benchmark": BenchmarkConfig,
    "check_data": CheckDataConfig,
    "export": ExportConfig,
    "explain": ExplainConfig,
}


def register() -> None:
    """Registers every verb's schema with Hydra as `VERB_schema`."""
    for verb, schema in SCHEMAS.items():
        ConfigStore.instance().store(f"{verb}_schema", schema)
