"""Predict an image, a folder, a glob or a video: label maps, overlays, probabilities.

python -m segbench.predict source=photo.jpg                    with the shipped checkpoint
python -m segbench.predict ckpt=best.ckpt source=photos/ classes=[Road,Sky] alpha=0.7
python -m segbench.predict ckpt=best.ckpt source=drive.mp4
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from segbench.config import Config, did_you_mean, make_folder, resolved
from segbench.config.app import run_verb
from segbench.errors import ConfigError
from segbench.system.console import progress, say

if TYPE_CHECKING:
    import numpy as np

    from segbench.artifacts.segmenter import Prediction, Segmenter
    from segbench.inference.outputs import Outputs

# Keys that change the label maps, beside the checkpoint.
_DETERMINING = ("resize", "drop_class", "classes", "refine_edges", "majority_window", "min_region")
MAX_PIXELS = 178_000_000  # largest size that the model may get at once


def predict(config: DictConfig) -> int:
    """Predicts everything that `source` names; returns the exit code."""
    plain = resolved(config)
    _check(plain)
    from segbench.artifacts.many_pixels import kind_of
    from segbench.artifacts.origin import record_origin
    from segbench.inference.inputs import find_sources
    from segbench.inference.outputs import FOLDERS
    from segbench.inference.video import SUFFIXES as VIDEOS

    output = Path(plain["output"]).expanduser()
    plain["output"] = str(output)
    files = find_sources(plain["source"], own=[output / kind for kind in FOLDERS])
    from segbench.artifacts.default_checkpoint import about_default
    from segbench.artifacts.segmenter import Segmenter

    segmenter = Segmenter(
        plain["ckpt"],
        plain["inference"],
        plain["device"],
        plain["resize"],
        plain["drop_class"],
        plain["allow_targets"],
    )
    if plain["ckpt"] is None:
        say(about_default(segmenter.classes.num_classes), stderr=True)
    shown = segmenter.class_ids(plain["classes"])
    make_folder("output", output)
    settings = {key: plain[key] for key in _DETERMINING} | {"inference": segmenter.inference}
    if note := record_origin(output, segmenter.ckpt, settings):
        say(note, stderr=True)
    if not segmenter.bands.is_rgb8 and any(f.suffix.lower() in VIDEOS for f in files.values()):
        raise ConfigError(
            "source: contains a video, which is 8-bit RGB, but the checkpoint expects other "
            "bands or values (data.channels, data.value_range); use images"
        )
    kinds = {name: kind_of(file) for name, file in files.items()}
    images = {name: file for name, file in files.items() if kinds[name] == "image"}
    failures = _predict_images(images, segmenter, plain, shown) if images else []
    others = {"video": _predict_video, "raster": _predict_raster, "volume": _predict_volume}
    for name, file in files.items():
        if kinds[name] in others:
            failures += others[kinds[name]](name, file, segmenter, plain, shown)
    for failure in failures:
        say(f"not predicted: {failure}", stderr=True)
    return 1 if failures else 0


def _check(config: Config) -> None:
    kinds = ("ids", "color", "overlay", "side_by_side", "probs")
    problems = [
        f"write: there is no '{kind}'{did_you_mean(kind, kinds)}"
        for kind in config["write"] or []
        if kind not in kinds
    ]
    if config["write"] == []:
        problems.append(f"write: names nothing; give some of {', '.join(kinds)}, or null")
    if config["majority_window"] % 2 == 0:
        problems.append(f"majority_window: must be odd, not {config['majority_window']}")
    resize = config["resize"]
    if resize not in ("auto", None) and not (
        isinstance(resize, list)
        and len(resize) == 2
        and all(isinstance(n, int) and n > 0 for n in resize)
        and resize[0] * resize[1] <= MAX_PIXELS
    ):
        problems.append(
            f"resize: must be auto, null or [H, W] of at most {MAX_PIXELS} pixels, not {resize}"
        )
    if config["refine_edges"] and find_spec("kornia") is None:
        problems.append("refine_edges: needs the package kornia; pip install kornia")
    if problems:
        raise ConfigError("\n".join(problems))


def _outputs(config: Config, segmenter: Segmenter, shown: list[int] | None, kinds: list[str]
             ) -> Outputs:  # fmt: skip
    from segbench.inference.outputs import Outputs

    folder = Path(config["output"])
    return Outputs(folder, segmenter.classes, kinds, shown, config["alpha"], config["legend"])


def _predict_images(
    files: dict[str, Path], segmenter: Segmenter, config: Config, shown: list[int] | None
) -> list[str]:
    """Reads the next image and writes the previous ones while the model runs."""
    from segbench.errors import DataError
    from segbench.inference.photos import read_photo

    kinds = config["write"] or ["ids", "color", "overlay", "side_by_side"]
    outputs = _outputs(config, segmenter, shown, kinds)
    failures: list[str] = []
    done, started = 0, time.perf_counter()
    with (
        ThreadPoolExecutor(config["writers"]) as writers,
        ThreadPoolExecutor(1) as reader,
        progress("Predicting", len(files)) as show,
    ):
        pending: deque[Future[None]] = deque()
        read = partial(read_photo, bands=segmenter.bands)
        for name, image in _ahead(reader, read, files, failures):
            try:
                found = _predict_one(image, segmenter, config, "probs" in kinds)
            except DataError as error:
                failures.append(f"{files[name]}: {error}")
                continue
            if found.in_windows:
                say(f"{files[name]}: too large for one pass, predicted in windows (set "
                    "inference=slide to configure them, or resize=[H,W] to avoid "
                    "them)")  # fmt: skip
            visible = segmenter.bands.displayed(image)
            pending.append(writers.submit(outputs.write, name, visible, found.labels, found.probs))
            while len(pending) > 2 * config["writers"]:  # limits the memory
                pending.popleft().result()
            done += 1
            show(done)
        for written in pending:
            written.result()
    seconds = time.perf_counter() - started
    say(f"{done} of {len(files)} images, {done / seconds:.1f} images/s -> {config['output']}/"
        f"{_braces(kinds)}")  # fmt: skip
    return failures


def _ahead(
    reader: ThreadPoolExecutor, read: Any, files: dict[str, Path], failures: list[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the images in order, reading the next one in the background; notes unreadable ones."""
    from segbench.errors import DataError

    names = list(files)
    coming = reader.submit(read, files[names[0]])
    for position, name in enumerate(names):
        current = coming
        if position + 1 < len(names):
            coming = reader.submit(read, files[names[position + 1]])
        try:
            image = current.result()
        except DataError as error:
            failures.append(str(error))
            continue
        yield name, image


def _predict_video(
    name: str, file: Path, segmenter: Segmenter, config: Config, shown: list[int] | None
) -> list[str]:
    """Writes one video for each kind of rendering, and id maps and probabilities as images."""
    from segbench.errors import DataError
    from segbench.inference.outputs import RENDERED
    from segbench.inference.video import VideoReader, VideoWriter

    kinds = config["write"] or ["overlay"]
    outputs = _outputs(config, segmenter, shown, [kind for kind in kinds if kind not in RENDERED])
    try:
        video = VideoReader(file)
    except DataError as error:
        return [str(error)]
    done, started = 0, time.perf_counter()
    with ExitStack() as stack:
        videos = {
            kind: stack.enter_context(
                VideoWriter(Path(config["output"]) / kind / f"{name}.mp4", video.frames_per_second)
            )
            for kind in kinds
            if kind in RENDERED
        }
        show = stack.enter_context(progress(f"Predicting {file.name}", video.num_frames or None))
        writer = stack.enter_context(ThreadPoolExecutor(1))  # one, to keep the frames in order
        pending: deque[Future[None]] = deque()

        def write(number: int, frame: np.ndarray, found: Prediction) -> None:
            outputs.write(f"{name}/{number:06d}", frame, found.labels, found.probs)
            for kind, target in videos.items():
                target.write(outputs.render(kind, frame, found.labels, all_names=True))

        for frame in video:
            found = _predict_one(frame, segmenter, config, "probs" in kinds)
            pending.append(writer.submit(write, done, frame, found))
            while len(pending) > 2:
                pending.popleft().result()
            done += 1
            show(done)
        for written in pending:
            written.result()
    if not done:
        return [f"{file}: contains no readable frame"]
    seconds = time.perf_counter() - started
    written_to = [f"{kind}/{name}{'.mp4' if kind in RENDERED else '/'}" for kind in kinds]
    say(f"{file}: {done} frames, {done / seconds:.1f} frames/s -> {config['output']}/"
        f"{_braces(written_to)}")  # fmt: skip
    return []


def _predict_raster(
    name: str, file: Path, segmenter: Segmenter, config: Config, shown: list[int] | None
) -> list[str]:
    """Writes GeoTIFFs with the georeference of a raster, window by window."""
    from segbench.artifacts.many_pixels import predict_raster
    from segbench.errors import DataError
    from segbench.inference.rasters import KINDS

    wanted = [kind for kind in config["write"] or KINDS if kind in KINDS]
    outputs, started = _outputs(config, segmenter, shown, wanted), time.perf_counter()
    try:
        with progress(f"Predicting {file.name}") as show:
            pixels = predict_raster(segmenter, file, outputs, name, show)
    except DataError as error:
        return [f"{file}: {error}"]
    speed = pixels / (time.perf_counter() - started) / 1e6
    say(f"{file}: {pixels} pixels, {speed:.2f} Mpixel/s -> {config['output']}/"
        f"{_braces([f'{kind}/{name}.tif' for kind in wanted])}")  # fmt: skip
    return []


def _predict_volume(
    name: str, file: Path, segmenter: Segmenter, config: Config, shown: list[int] | None
) -> list[str]:
    """Writes images of each slice, and a volume of labels with the orientation of the input."""
    from segbench.artifacts.many_pixels import predict_volume
    from segbench.errors import DataError

    kinds = config["write"] or ["ids", "color", "overlay", "side_by_side"]
    outputs = _outputs(config, segmenter, shown, kinds)
    predict_slice = partial(
        _predict_one, segmenter=segmenter, config=config, wants_probs="probs" in kinds
    )
    try:
        with progress(f"Predicting {file.name}") as show:
            slices = predict_volume(segmenter, file, outputs, name, predict_slice, show)
    except DataError as error:
        return [f"{file}: {error}"]
    say(f"{file}: {slices} slices -> {config['output']}/{_braces([*kinds, 'volumes'])}")
    return []


def _braces(names: Sequence[str]) -> str:
    """Names in shell notation: `ids`, or `{ids,overlay}`."""
    return names[0] if len(names) == 1 else f"{{{','.join(names)}}}"


def _predict_one(
    image: np.ndarray, segmenter: Segmenter, config: Config, wants_probs: bool
) -> Prediction:
    """Predicts and post-processes one image."""
    import dataclasses

    from segbench.inference import refine

    found = segmenter.predict(image, with_probs=wants_probs or config["refine_edges"])
    labels = found.labels
    if config["refine_edges"] and found.probs is not None:
        labels = refine.refine_edges(segmenter.bands.displayed(image), found.probs)
    if config["majority_window"] > 1:
        labels = refine.majority_filter(labels, config["majority_window"])
    if config["min_region"] > 1:
        labels = refine.remove_small_regions(labels, config["min_region"])
    return dataclasses.replace(found, labels=labels)


if __name__ == "__main__":
    run_verb("predict", predict)
