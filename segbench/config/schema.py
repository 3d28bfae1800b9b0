"""The typed top level of each verb's config: every key, its type, default and meaning.

Hydra rejects unknown keys and wrong types with the help of these classes. Keys below a config
group (`model`, `data`, ...) are checked against the signature of its `_target_` instead. A comment
above or beside a field is its meaning in docs/config.md; one that begins with a capital is a
heading.
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
    study: str = "default"  # name of the folder below runs/; the runs in it are compared
    name: str = MISSING  # name of the run; runs of one name differ only in the seed
    seed: int = within(0, 0, LARGEST_SEED)  # of weights, order and augmentation
    run_dir: str = path()  # folder of the run
    # auto: continue an unfinished run of the same config; never: refuse to overwrite one
    resume: str = choice("auto", "never")
    overwrite: bool = False  # delete the run that is there and retrain

    # The components, one config group each
    data: Any = MISSING
    model: Any = MISSING
    loss: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    # any Lightning callbacks by name, each with a `_target_`
    callbacks: Any = None
    # albumentations transforms by name, each with a `_target_`
    augment: Any = None
    inference: Any = MISSING

    # Training
    # start from these weights: a checkpoint, weights published for the model, or `shipped` (those
    # of segbench for fpn_efficientnet_lite0); a head of another size is re-initialized
    weights: str | None = path(None)
    # auto: bf16 if the GPU supports it, fp16 with loss scaling on an older GPU, 32 bit on CPU
    precision: str = choice("auto", "32-true", "bf16-mixed", "16-mixed")
    deterministic: bool = False  # bit-identical results, or an error if torch cannot
    channels_last: bool = True  # memory layout of images and weights; faster on most devices
    compile: bool = False  # torch.compile
    # decay of the moving average of the weights, which is what is validated and tested; null: none
    ema: float | None = within(None, 0, 1)
    # minimum seconds between checkpoints for resuming, saved at the end of epochs; 0: every epoch
    checkpoint_every: float = within(60.0, 0)
    # which weights are tested: those with the best val/mIoU, or the last ones
    selection: str = choice("best", "last")
    # end after so many validations without a better val/mIoU; null: never
    early_stopping: int | None = within(None, 1)
    # false: validate but do not test, as in tuning trials
    test: bool = True
    # number of tuning trials spent on this model, for the fairness audit
    tuning_trials: int = within(0, 0)
    # keys of segbench.compare, which reports on the study when a sweep ends; null: no report
    compare: Any = None

    # Output
    samples: int = within(4, 0)  # val images drawn with mask, prediction and errors
    samples_every: int = within(1, 1)  # epochs between these images
    log_every: int = within(20, 1)  # steps between logged values

    # modules of your own that a `_target_` may name, besides segbench and its libraries
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class EvaluateConfig:
    """All top-level keys of `python -m segbench.evaluate`."""

    # What to score: a checkpoint, or a folder of label maps from any program
    ckpt: str | None = path(None)  # a checkpoint, an exported .onnx file, or shipped
    # label maps, one file per image with the name of the image
    predictions: str | None = path(None)
    confidence: str | None = path(None)  # a map of the confidence for each label map
    data: Any = None  # null: the data set of the checkpoint
    root: str | None = path(None)  # folder of that data set on this machine
    split: str = choice("test", "val")  # the images to score
    # null: as in the test of the checkpoint
    inference: Any = None

    # Where to write the result: run_dir, or runs/STUDY/NAME/seedN
    study: str = "evaluations"  # name of the folder below runs/
    name: str | None = None  # null: the name of the run, or of the folder of predictions
    seed: int | None = within(None, 0)  # null: the seed of the run, or 0
    run_dir: str | None = path(None)  # null: runs/STUDY/NAME/seedN

    absent_classes: str = choice("exclude", "zero", "one")  # IoU of classes without pixels
    boundary: bool = True  # scores of boundaries
    calibration: bool = True  # ECE, NLL, Brier score, AURC
    corruptions: Any = None  # all, or names of imagecorruptions; each at these severities
    severities: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 5])  # 1 is mild, 5 severe
    surface: bool = False  # HD95 and NSD, in units of `spacing`
    spacing: list[float] = field(default_factory=lambda: [1.0, 1.0])  # height, width of a pixel
    tolerance: float = within(1.0, 0)  # of NSD, in units of `spacing`

    # of predictions; label_ids: those of Cityscapes
    format: str = choice("auto", "ids", "color", "label_ids")
    void_values: list[int] = field(default_factory=list)  # more values that mean "no class"
    partial: bool = False  # score only the predictions that are there, and mark the result

    # Images of the worst predictions, and the predictions themselves
    gallery: int = within(6, 0)  # images drawn: those with the lowest scores
    save: str = choice("none", "ids", "cityscapes")  # format of the predictions that are written

    device: str = "auto"  # auto, cpu, cuda, ...
    batch_size: int | None = within(None, 1)  # null: data.eval_batch_size of the checkpoint
    num_workers: int | None = within(None, 0)  # loading threads or processes; null: spare cores
    # modules of your own whose classes the checkpoint may use
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class PredictConfig:
    """All top-level keys of `python -m segbench.predict`."""

    source: str = path()  # an image, a folder, a pattern such as 'photos/*.jpg', or a video
    ckpt: str | None = path(None)  # a checkpoint or .onnx file; null: the shipped checkpoint
    output: str = path("predictions")  # folder
    # null: as in the test of the checkpoint
    inference: Any = None
    # auto: scale to the height used in training; null: keep the image size; [H, W]
    resize: Any = "auto"
    drop_class: str | None = None  # a class that is never predicted

    # What to write, and how it looks
    # of ids, color, overlay, side_by_side, probs; null: all but probs; of videos, overlay
    write: list[str] | None = None
    classes: list[str] | None = None  # the classes that are shown; null: all
    alpha: float = within(0.5, 0, 1)  # opacity of the colors in the overlay
    legend: bool = True  # names of the classes below the overlay

    # Post-processing, in this order
    refine_edges: bool = False  # move outlines onto edges of the image (needs kornia)
    majority_window: int = within(1, 1)  # side of a majority filter in pixels; 1: none
    min_region: int = within(0, 0)  # regions of fewer pixels take the nearest other label

    device: str = "auto"  # auto, cpu, cuda, ...
    writers: int = within(2, 1)  # threads that write files
    # modules of your own whose classes the checkpoint may use
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class BenchmarkConfig:
    """All top-level keys of `python -m segbench.benchmark`."""

    # models of conf/model, or [all] (model=a,b is short for models=[a,b]), or the
    # models of a study's runs
    models: list[str] | None = None
    study: str | None = None  # measure the models of its runs
    # gives the number of classes and the images for training steps; runs of a study use their own
    data: Any = MISSING

    sizes: list[Any] = field(default_factory=lambda: [[360, 480]])  # [[height, width], ...]
    # eager, or channels_last, bf16, fp16, compile, joined by +
    modes: list[str] = field(default_factory=lambda: ["channels_last"])
    batch_sizes: list[int] = field(default_factory=lambda: [1, 2, 4, 8])  # of throughput
    train_batch: int = within(4, 1)  # batch size of a training step
    # number of timed training steps; 0: do not time training
    train_steps: int = within(10, 0)
    # duration of each timing, split into rounds whose spread is reported
    seconds: float = within(2.0, 0.01)
    rounds: int = within(5, 2)  # parts of each timing

    # null: runs/STUDY/benchmark.json, where compare looks for it, or benchmark.json
    output: str | None = path(None)
    device: str = "auto"  # auto, cpu, cuda, ...
    # modules of your own whose classes the runs of the study may use
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class CheckDataConfig:
    """All top-level keys of `python -m segbench.check_data`."""

    data: Any = MISSING  # the data set to check
    # where to write the report
    output: str = path()
    # exit with 1 on warnings, too
    strict: bool = False


@dataclass
class ExportConfig:
    """All top-level keys of `python -m segbench.export`."""

    ckpt: str = path()  # a checkpoint of segbench.train, or shipped
    format: str = choice("onnx", "ckpt")  # ckpt: a small checkpoint with a model card
    # file to write; null: next to the checkpoint
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
    source: str | None = path(None)  # image files
    root: str | None = path(None)  # folder of the checkpoint's data set on this machine
    images: int = within(4, 1)  # number of them
    agreement: float = within(0.999, 0, 1)  # required share of pixels with the same class
    tolerance: float = within(1e-3, 0)  # allowed relative difference of the logits
    # modules of your own whose classes the checkpoint may use
    allow_targets: list[str] = field(default_factory=list)


@dataclass
class ExplainConfig:
    """All top-level keys of `python -m segbench.explain`."""

    # the kind of explanation; also written without the key: `segbench explain embeddings`
    what: str = choice("heatmaps", "embeddings", "architecture")
    ckpt: str | None = path(None)  # a checkpoint of segbench.train; null: the shipped checkpoint
    output: str = path("explanations")  # folder

    # Your own images, or a split of the checkpoint's data set
    source: str | None = path(None)  # image files
    root: str | None = path(None)  # folder of the checkpoint's data set on this machine
    split: str = choice("test", "val", "train")  # of that data set
    images: int = within(3, 1)  # number of images
    # name of a module, or head.input; null: the deepest map (heat maps), head.input (embeddings)
    layer: str | None = None

    # Heat maps
    classes: list[str] | None = None  # null: the three most frequent
    pixel: list[int] | None = None  # explain [y, x]; null: wherever the class is predicted
    region: list[int] | None = None  # explain [top, left, bottom, right] instead
    method: str = choice("hirescam", "gradcam")  # HiResCAM or Seg-Grad-CAM

    # Embeddings
    projection: str = choice("tsne", "pca", "umap")  # umap needs the extra explain
    per_class: int = within(200, 1)  # pixels drawn of each class
    least: int = within(10, 1)  # classes with fewer pixels are left out
    neighbors: int = within(10, 1)  # nearest neighbors whose classes are compared
    seed: int = within(0, 0, LARGEST_SEED)  # of the pixels drawn and of the projection

    # Architecture
    models: list[str] | None = None  # of conf/model, or [all]; model=a,b is short for models=[a,b]
    size: list[int] = field(default_factory=lambda: [256, 320])  # height, width of the image
    num_classes: int = within(19, 1)  # classes of the model that is drawn

    device: str = "auto"  # auto, cpu, cuda, ...
    # modules of your own whose classes the checkpoint may use
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
