"""The record of a run: what `result.json` contains, typed.

Values are checked against these types when read: a value of another type or out of range is an
error that names it. Scores are fractions, times are in seconds, sizes are `(height, width)`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Strict, StringConstraints

from segbench.artifacts.scores import Amount, Count, Flag, Fraction, Scores, Split, Text
from segbench.artifacts.typed import plain, read_as
from segbench.config import Config
from segbench.data.bands import Bands
from segbench.data.classes import ClassSet
from segbench.errors import NewerResultError, ResultError

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """The images of a run.

    Args:
        fingerprint: hash of the content of each split; equal fingerprints mean the same images.
        protocol: name and version of the class set and of the mapping to it.
        comparable: whether the scores may be compared with published ones.
        split: the split that was scored.
        num_images: number of images of each split.
        label_map: raw label -> class id, if the data set defines it.
        tested: number of images scored, if not all of `split`.
        trained_on: for val and test, how many of their images are training images too.
    """

    fingerprint: dict[Split, Text]
    protocol: Text
    comparable: Flag
    split: Literal["val", "test"]
    num_images: dict[Split, Count] = field(default_factory=dict)
    label_map: dict[Text, Annotated[int, Strict()]] | None = None
    tested: Count | None = None
    trained_on: dict[Split, Count] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How the scores were measured.

    Args:
        resolution: resolution at which pixels are counted; `original` is that of the masks.
        resize: size of the images that the model sees; None = their own size.
        bands: the bands of the images that the model sees, and their range; None = unknown.
        inflated: channels of a first convolution whose pretrained weights were for three.
        inference: config node of the predictor; None for predictions made elsewhere.
        absent_classes: policy for classes in neither mask nor pred, see `metrics.scores`.
        void_prediction: how void predicted on a labeled pixel counts; `miss` = a miss of its class.
        selection: which weights were tested, `best` by val/mIoU or `last`; None if unknown.
        num_classes, labels: number without the ignored class; as `DataInfo.protocol`.
        precision: precision of the forward pass, Lightning's name.
        source: the checkpoint or folder that was scored; None for a training.
        format: format of the label maps in that folder.
        void_values: raw labels in it that count as void.
        partial: why some images of the split were not scored.
    """

    resolution: Text = "original"
    resize: tuple[Count, Count] | None = None
    bands: Bands | None = None
    inflated: Count | None = None
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
    """What a training was allotted and what it used; all None for predictions made elsewhere.

    Args:
        effective_batch_size: images per optimizer step, over all devices and accumulated batches.
        devices: number of processes that shared each step, one per device.
        precision: as `Protocol.precision`.
        ema: decay of the averaged weights; None = not averaged.
        tuning_trials: trials spent on the values of this config.
        epochs, steps: trained; a step is one of the optimizer.
        images_seen: training images over all epochs, repeated ones included.
        found_lr: base learning rate that a finder gave the run; None = that of the config.
    """

    effective_batch_size: Count | None = None
    devices: Count | None = None
    precision: Text | None = None
    ema: Fraction | None = None
    tuning_trials: Count | None = None
    epochs: Count | None = None
    steps: Count | None = None
    images_seen: Count | None = None
    found_lr: Amount | None = None


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training of a checkpoint that was evaluated.

    Args:
        config: its config.
        fingerprint: as in `DataInfo`, of the splits that it used.
        devices: as in `Budget`.
        trained_on: as in `DataInfo`.
        weights: hash of the checkpoint file.
        initial_weights: as in `Result`.
    """

    config: Config
    fingerprint: dict[Split, Text]
    devices: Count | None
    weights: Text
    trained_on: dict[Split, Count] = field(default_factory=dict)
    initial_weights: Text | None = None


@dataclass(frozen=True, kw_only=True)
class Timings:
    """How long a run took; None if not measured.

    Args:
        total_seconds: duration of the last start, from the config to the report.
        epoch_seconds: duration of all epochs including validation, over all starts.
        shares: share of `epoch_seconds` by activity.
        train_seconds: duration of the training steps, over all starts.
        images_per_s: training images per second of `train_seconds`.
        waiting_for_data: share of `train_seconds` that the steps waited for the loader.
        peak_memory_MiB: maximum GPU memory of the last start, in 2^20 bytes.
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
    """The hardware used, which need not be all that the machine has.

    Args:
        device: name of the GPU, or the type of the device (`cpu`).
        num_gpus: number of GPUs used; 0 on a CPU.
        cpu: name of the CPU.
        cores: CPU cores that the process may use.
        threads: number of torch's CPU threads.
        cuda: CUDA version that torch was built with; None on a CPU.
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
class Result:
    """The complete record of a run; the content of `result.json`.

    Args:
        status: `running` also if the process was killed before it could write.
        reason: why it failed or was interrupted.
        kind: `train` for a training, `evaluate` for scores of a checkpoint or of predictions.
        study, name, seed: the run is `runs/STUDY/NAME/seedSEED`.
        model: dotted name of the model's class; None for predictions made elsewhere.
        data: dotted name of the data source's class.
        config: the resolved config of the command.
        command: the command as typed.
        commit: commit of the segbench checkout; None for an installed package.
        dirty: whether the checkout had uncommitted changes.
        versions: versions of Python and of the packages that can affect a result.
        hardware: the hardware used.
        classes: the classes; None until the data is opened.
        data_info: the images; None until the data is opened.
        protocol: how the scores are measured; None until the data is opened.
        params: number of model parameters, trainable or not.
        initial_weights: hash of the file or folder that `weights` or `model.path` names, if any.
        budget: budget of the training.
        timings: durations of the training or evaluation.
        scores: scores by split. None for val: the tested weights were never validated.
        selected_epoch: epoch, from 1, after which the tested weights were saved; 0 if only tested.
        training: of an evaluated checkpoint, how it was trained; None for all others.

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
    initial_weights: Text | None = None
    budget: Budget = Budget()
    timings: Timings = Timings()
    scores: dict[Literal["val", "test"], Scores | None] = field(default_factory=dict)
    selected_epoch: Count | None = None
    training: Training | None = None

    def __post_init__(self) -> None:
        if self.status != "finished":
            return
        missing = [key for key in ("classes", "data_info", "protocol") if not getattr(self, key)]
        if missing:
            raise ValueError(f"a finished run lacks {', '.join(missing)}")
        is_scored = self.scores.get("test") is not None
        if self.kind == "train":  # test=false omits the key
            is_scored = is_scored or "test" not in self.scores
        elif self.data_info is not None:
            is_scored = self.scores.get(self.data_info.split) is not None
        if not is_scored:
            raise ValueError("a finished run lacks the scores of its split")

    @property
    def trained_config(self) -> Config:
        """The config of the training, if an evaluated checkpoint knows it; else that of the run."""
        return self.training.config if self.training else self.config

    def to_dict(self) -> Config:
        """The content of `result.json`."""
        return {"schema_version": SCHEMA_VERSION, **plain(self)}

    @staticmethod
    def from_dict(content: object) -> Result:
        """Reads the output of `to_dict`; ResultError names what is wrong with any other content."""
        version = content.get("schema_version") if isinstance(content, dict) else None
        if type(version) is not int:
            raise ResultError("has no schema_version")
        if version > SCHEMA_VERSION:
            raise NewerResultError(
                f"has schema {version}, but segbench reads up to {SCHEMA_VERSION}; update segbench"
            )
        return read_as(Result, content)
