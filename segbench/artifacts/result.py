"""The record of a run: what `result.json` contains, typed.

What is read back is checked against these types: a value of another type or outside of its range
is an error that names it. Scores are fractions, times in seconds, sizes `(height, width)`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints

from segbench.artifacts.typed import plain, read_as
from segbench.config import Config
from segbench.data.classes import ClassSet
from segbench.errors import ResultError

SCHEMA_VERSION = 1

Text = Annotated[str, StringConstraints(max_length=100_000)]
Flag = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(ge=0, lt=2**63)]
Amount = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False)]
Split = Annotated[str, StringConstraints(pattern="^(train|val|test)$")]
ByClass = dict[Text, Fraction | None]


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """Which images a run saw.

    Args:
        fingerprint: of each split by content; two splits with the same one are the same images.
        protocol: name and version of the classes and what is mapped to them.
        comparable: whether the scores may be put beside published ones.
        split: the split that was scored.
        num_images: of each split.
        label_map: raw label -> class id, where the data set itself says it.
        tested: number of images scored, where it is not all of `split`.
    """

    fingerprint: dict[Split, Text]
    protocol: Text
    comparable: Flag
    split: Literal["val", "test"]
    num_images: dict[Split, Count] = field(default_factory=dict)
    label_map: dict[Text, Annotated[int, Strict()]] | None = None
    tested: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How the scores were measured.

    Args:
        resolution: at which pixels are counted; `original` is that of the masks.
        resize: size at which the model sees images; None = their own.
        inference: config node of the predictor; None for predictions from elsewhere.
        absent_classes: policy for classes in neither mask nor pred, see `metrics.scores`.
        void_prediction: what void predicted on a labeled pixel is; `miss` = a miss of its class.
        selection: which weights were tested, `best` by val/mIoU or `last`; None if unknown.
        num_classes: without the ignored one.
        labels: as `DataInfo.protocol`.
        precision: of the forward pass, Lightning's name.
        source: the checkpoint or the folder that was scored; None for a training.
        format: of the label maps in that folder.
        void_values: raw labels in it that count as void.
        partial: why images of the split are not among the scored ones.
    """

    resolution: Text = "original"
    resize: tuple[Count, Count] | None = None
    inference: Config | None = None
    absent_classes: Literal["exclude", "zero", "one"] = "exclude"
    void_prediction: Text = "miss"
    selection: Literal["best", "last"] | None = None
    num_classes: Count | None = None
    labels: Text | None = None
    precision: Text | None = None
    source: Text | None = None
    format: Text | None = None
    void_values: list[Annotated[int, Strict()]] | None = None
    partial: list[Text] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a training was given and what it used; all None for predictions from elsewhere.

    Args:
        effective_batch_size: images per optimizer step, over all devices and accumulated batches.
        devices: processes that shared each step, one per device.
        precision: as `Protocol.precision`.
        ema: decay of the averaged weights; None = not averaged.
        tuning_trials: trials spent on the values of this config.
        epochs: trained.
        steps: of the optimizer.
        images_seen: training images over all epochs, repeated ones included.
    """

    effective_batch_size: Count | None = None
    devices: Count | None = None
    precision: Text | None = None
    ema: Fraction | None = None
    tuning_trials: Count | None = None
    epochs: Count | None = None
    steps: Count | None = None
    images_seen: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Timings:
    """How long it took; None where it was not measured.

    Args:
        total_seconds: of the last start, from the config to the report.
        epoch_seconds: of all epochs with their validation, over all starts.
        shares: of `epoch_seconds`, by what it was spent on.
        train_seconds: in training steps, over all starts.
        images_per_s: training images per second of `train_seconds`.
        waiting_for_data: share of `train_seconds` that the steps waited for the loader.
        peak_memory_MiB: largest GPU memory of the last start, in 2^20 bytes.
    """

    total_seconds: Amount | None = None
    epoch_seconds: Amount | None = None
    shares: dict[Text, Fraction] | None = None
    train_seconds: Amount | None = None
    images_per_s: Amount | None = None
    waiting_for_data: Fraction | None = None
    peak_memory_MiB: Amount | None = None


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What the work ran on, which need not be all that the machine has.

    Args:
        device: name of the GPU, or the kind of device (`cpu`).
        num_gpus: that shared the work; 0 on a CPU.
        cpu: name of the processor.
        cores: that the process may use.
        threads: of torch.
        cuda: version of CUDA that torch was built with; None on a CPU.
    """

    device: Text | None = None
    num_gpus: Count | None = None
    cpu: Text | None = None
    cores: Count | None = None
    threads: Count | None = None
    cuda: Text | None = None

    def __str__(self) -> str:
        """The device; for a CPU its name and the threads."""
        if self.device is None:
            return "unknown machine"
        if self.device != "cpu":
            return self.device if (self.num_gpus or 1) == 1 else f"{self.num_gpus} x {self.device}"
        threads = self.threads or self.cores
        return f"{self.cpu or 'CPU'}, {threads} thread{'s' * (threads != 1)}"


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one split, fractions; None where a value does not exist.

    `metrics.scores`, `metrics.per_image`, `metrics.boundary`, `metrics.calibration` and
    `metrics.cityscapes_protocol` define them; those with a default are not always counted.

    Args:
        mIoU: mean of `IoU`.
        mDice: mean of `Dice`.
        pixel_acc: share of the labeled pixels with the right class.
        mean_acc: mean of `recall`.
        fwIoU: mean of `IoU` weighted by the share of true pixels.
        IoU, Dice, precision, recall: by class name.
        mean_image_mIoU: mean of the mIoU of each image.
        worst_tenth_mIoU: mean of the mIoU of the tenth of the images with the lowest.
        groups: mIoU by group of images.
        boundary_F, mean_boundary_F: boundary F-score by class, and its mean.
        boundary_IoU, mean_boundary_IoU: boundary IoU by class, and its mean.
        ECE: expected calibration error.
        by_image: fine-grained scores by name, see `metrics.fine_grained`.
        NLL, Brier, SCE, AURC: of the probabilities, see `metrics.probabilistic`.
        class_SCE: calibration error by class.
        HD95, NSD: of the outlines by class, see `metrics.surface`; mean over images.
        mean_HD95, mean_NSD: their means.
        category_IoU, mean_category_IoU: of Cityscapes' categories.
        iIoU, mean_iIoU, category_iIoU, mean_category_iIoU: Cityscapes' instance-weighted IoU.
    """

    mIoU: Fraction | None
    mDice: Fraction | None
    pixel_acc: Fraction | None
    mean_acc: Fraction | None
    fwIoU: Fraction | None
    IoU: ByClass
    Dice: ByClass
    precision: ByClass
    recall: ByClass
    mean_image_mIoU: Fraction | None = None
    worst_tenth_mIoU: Fraction | None = None
    groups: ByClass | None = None
    boundary_F: ByClass | None = None
    mean_boundary_F: Fraction | None = None
    boundary_IoU: ByClass | None = None
    mean_boundary_IoU: Fraction | None = None
    ECE: Fraction | None = None
    by_image: ByClass | None = None
    NLL: Amount | None = None
    Brier: Annotated[float, Strict(), Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    SCE: Fraction | None = None
    class_SCE: ByClass | None = None
    AURC: Fraction | None = None
    HD95: dict[Text, Amount | None] | None = None
    mean_HD95: Amount | None = None
    NSD: ByClass | None = None
    mean_NSD: Fraction | None = None
    category_IoU: ByClass | None = None
    mean_category_IoU: Fraction | None = None
    iIoU: ByClass | None = None
    mean_iIoU: Fraction | None = None
    category_iIoU: ByClass | None = None
    mean_category_iIoU: Fraction | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that is known of a run; the content of `result.json`.

    Args:
        status: `running` also if the process was killed without a chance to write.
        reason: why it failed or was interrupted.
        kind: `train` for a training, `evaluate` for scores of a checkpoint or of predictions.
        study, name, seed: the run is `runs/STUDY/NAME/seedSEED`.
        model: dotted name of the model's class; None for predictions from elsewhere.
        data: dotted name of the data source's class.
        config: the resolved config of the command.
        command: as it was typed.
        commit: of the segbench checkout; None for an installed package.
        dirty: whether the checkout had uncommitted changes.
        versions: of Python and of the packages that can change a result.
        hardware: what it ran on.
        classes: the classes; None until the data was opened.
        data_info: the images; None until then.
        protocol: how the scores are measured; None until then.
        params: parameters of the model, trainable or not.
        budget: of the training.
        timings: of the training, or of the evaluation.
        scores: by split. None for val: the tested weights were never validated.
        selected_epoch: after which the tested weights were saved, from 1; 0 if only tested.

    Raises:
        ValueError: a finished run without classes, data, protocol or the scores of its split.
    """

    status: Literal["running", "finished", "failed", "interrupted"]
    kind: Literal["train", "evaluate"]
    study: Text
    name: Text
    seed: Count
    data: Text
    config: Config
    reason: Text = ""
    model: Text | None = None
    command: Text = ""
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{7,64}$")] | None = None
    dirty: Flag | None = None
    versions: dict[Text, Text] = field(default_factory=dict)
    hardware: Hardware = Hardware()
    classes: ClassSet | None = None
    data_info: DataInfo | None = None
    protocol: Protocol | None = None
    params: Count | None = None
    budget: Budget = Budget()
    timings: Timings = Timings()
    scores: dict[Literal["val", "test"], Scores | None] = field(default_factory=dict)
    selected_epoch: Count | None = None

    def __post_init__(self) -> None:
        if self.status != "finished":
            return
        missing = [key for key in ("classes", "data_info", "protocol") if not getattr(self, key)]
        if missing:
            raise ValueError(f"a finished run lacks {', '.join(missing)}")
        is_scored = self.scores.get("test") is not None
        if self.kind == "train":  # test=false leaves the key out
            is_scored = is_scored or "test" not in self.scores
        elif self.data_info is not None:
            is_scored = self.scores.get(self.data_info.split) is not None
        if not is_scored:
            raise ValueError("a finished run lacks the scores of its split")

    def to_dict(self) -> Config:
        """As `result.json` contains it."""
        return {"schema_version": SCHEMA_VERSION, **plain(self)}

    @staticmethod
    def from_dict(content: object) -> Result:
        """The record that `to_dict` gave, of this version or an earlier one.

        Raises:
            ResultError: it is none, or a value has the wrong type or range; the field is named.
        """
        version = content.get("schema_version") if isinstance(content, dict) else None
        if type(version) is not int:
            raise ResultError("has no schema_version")
        if version > SCHEMA_VERSION:
            raise ResultError(
                f"has schema {version}, this segbench reads up to {SCHEMA_VERSION}; update segbench"
            )
        return read_as(Result, content)
