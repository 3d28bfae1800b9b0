"""The pixels of imagecorruptions, the same for every model; the table; what is refused."""

import hashlib

import numpy as np
import pytest

from segbench.errors import ConfigError
from segbench.evaluation.corruptions import (
    CORRUPTIONS,
    CorruptedSource,
    Corruption,
    chosen,
    corrupt,
    imported,
    seed_of,
)
from segbench.evaluation.options import corruptions
from segbench.evaluation.robustness import count_corrupted
from segbench.metrics.robustness import summary


def image():
    y, x = np.mgrid[:64, :96]
    return np.stack([2 * x, 3 * y, x + y], axis=-1).astype(np.uint8)


def library_or_skip():
    try:
        return imported()
    except ImportError as error:
        pytest.skip(f"no imagecorruptions here: {error}")


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_pixels_are_those_of_the_library(name):
    library = library_or_skip()
    corruption = Corruption(name, 3)
    found = corrupt(image(), corruption, "a/b")
    assert found.shape == (64, 96, 3)
    assert (found != image()).any()
    if name not in ("fog", "glass_blur", "impulse_noise"):  # which it cannot do, or not twice alike
        np.random.seed(seed_of(corruption, "a/b"))
        assert np.array_equal(found, library.corrupt(image(), 3, corruption_name=name))
    assert np.array_equal(found, corrupt(image(), corruption, "a/b")), "the same for every model"


def test_other_images_get_other_noise_and_numpys_generator_is_left_alone():
    library_or_skip()
    corruption = Corruption("gaussian_noise", 1)
    np.random.seed(5)
    first = np.random.rand()
    np.random.seed(5)
    one, two = (corrupt(image(), corruption, name) for name in "ab")
    assert np.random.rand() == first
    assert (one != two).any()


def test_seeds_depend_on_name_corruption_and_severity_alone():
    seeds = {seed_of(Corruption(c, s), n) for c in ("fog", "snow") for s in (1, 2) for n in "ab"}
    assert len(seeds) == 8
    assert seed_of(Corruption("fog", 1), "a") == int(
        hashlib.sha256(b"a\0fog\x001").hexdigest()[:8], 16
    )


@pytest.mark.parametrize(
    ("names", "severities", "message"),
    [
        (["frogg"], [1], "there is no 'frogg', did you mean"),
        (["fog"], [0, 6], "severities: 0 is not one of 1 to 5; severities: 6"),
        (["fog"], [], "give at least one"),
    ],
)
def test_unknown_corruptions_and_severities_are_refused(names, severities, message):
    with pytest.raises(ConfigError) as error:
        chosen(names, severities)
    assert message.replace(", did you mean", "") in str(error.value)


@pytest.mark.parametrize("given", [3, True, False, 0, {"fog": 1}, [["fog"]], "", ["all", "fog"]])
def test_what_is_no_list_of_names_is_refused(given):
    with pytest.raises(ConfigError, match=r"corruptions[=:]"):
        corruptions({"corruptions": given, "severities": [1]})
    assert corruptions({"corruptions": [], "severities": [1]}) == []


def test_all_of_them_at_each_severity():
    library_or_skip()
    assert len(chosen(["all"], [1, 2, 3, 4, 5])) == 75
    assert [str(c) for c in chosen(["fog", "fog"], [3, 1, 3])] == ["fog 1", "fog 3"]
    assert chosen(["snow", "fog"], [1]) == chosen(["fog", "snow"], [1])


def test_small_images_are_refused_by_name():
    with pytest.raises(ConfigError, match="tiny is 20x10; images must have at least 32"):
        corrupt(np.zeros((10, 20, 3), np.uint8), Corruption("fog", 1), "tiny")


def test_a_source_keeps_its_masks_and_changes_its_key():
    class Source:
        protocol = "tiny"

        def fingerprint_key(self):
            return "key"

    source = CorruptedSource(Source(), Corruption("fog", 2))
    assert source.fingerprint_key() == "key corruption=fog 2"
    assert source.protocol == "tiny"
    assert not source.comparable


def test_the_table_has_mean_worst_and_drop():
    values = {"fog 1": 0.6, "fog 3": 0.4, "snow 1": 0.3, "snow 3": 0.1}

    def evaluate(corruption):
        right = round(100 * values[str(corruption)])
        return np.array([[[right, 100 - right, 0], [0, 0, 0]]])

    scored, counts = count_corrupted(
        [Corruption(c, s) for c in ("fog", "snow") for s in (1, 3)], evaluate, "exclude"
    )
    assert counts.shape == (1, 2, 8)
    found = summary(scored, 0.5)
    # the second class has a false alarm alone: IoU 0, so every mIoU is half
    assert found["mean"] == pytest.approx({"fog": 0.25, "snow": 0.1})
    assert found["worst_name"] == "snow"
    assert found["drop"] == pytest.approx(0.5 - 0.175)
    hits, unions = counts[0]
    assert np.mean(hits / unions) == pytest.approx(found["mean_corrupted"])
