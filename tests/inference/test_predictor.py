"""Whole, slide and TTA agree where they must, at any size, for any model."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segbench.data.classes import ClassSet
from segbench.errors import DataError, NonFiniteLogitsError
from segbench.inference.labels import FiniteLogits
from segbench.inference.predictor import Predictor
from segbench.inference.windows import slide, window_starts

CLASSES = ClassSet(("background", "sky", "road"), ((9, 9, 9), (0, 0, 255), (128, 64, 128)))
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]


class PixelNet(nn.Module):
    """Depends on single pixels only, so windows cannot matter."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 3, 1)
        self.seen = []

    def forward(self, image):
        self.seen.append(tuple(image.shape))
        return self.head(image)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return PixelNet().eval()


def image(height, width, n=1):
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8)


def plain(model, pixels):
    with torch.no_grad():
        return model((pixels / 255 - torch.tensor(MEAN)[:, None, None])
                     / torch.tensor(STD)[:, None, None])  # fmt: skip


def test_normalize_is_the_textbook_formula(model):
    pixels = image(5, 7)
    expected = (pixels / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    predictor = Predictor(model, CLASSES, MEAN, STD)
    torch.testing.assert_close(predictor.normalize(pixels), expected)


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (64, 20)])
@pytest.mark.parametrize("blend", ["uniform", "gaussian"])
def test_slide_equals_whole_for_a_model_of_single_pixels(model, size, blend):
    pixels = image(*size, n=2)
    whole = Predictor(model, CLASSES, MEAN, STD)
    windows = Predictor(
        model, CLASSES, MEAN, STD, "slide", crop_size=(16, 24), stride=(11, 13), blend=blend
    )
    torch.testing.assert_close(windows.probs(pixels), whole.probs(pixels))
    assert torch.equal(windows.labels(pixels), plain(model, pixels).argmax(1))


def test_a_window_as_large_as_the_image_is_bit_identical_to_whole(model):
    pixels = image(20, 30)
    windows = Predictor(model, CLASSES, MEAN, STD, "slide", crop_size=(64, 64), stride=(32, 32))
    whole = Predictor(model, CLASSES, MEAN, STD)
    assert torch.equal(windows.probs(pixels), whole.probs(pixels))


def test_windows_cover_everything_and_end_at_the_border():
    assert window_starts(10, 4, 3) == [0, 3, 6]
    assert window_starts(11, 4, 3) == [0, 3, 6, 7]
    assert window_starts(4, 4, 3) == [0]


def test_windows_are_averaged_where_they_overlap():
    counter = iter(range(100))

    def forward(crop):
        return torch.full((1, 1, *crop.shape[2:]), float(next(counter)))

    bands = slide(forward, torch.zeros(1, 3, 4, 3), (2, 2), (1, 1), batch=1)
    mean = torch.cat([total / weight for total, weight in bands], dim=2)[0, 0]
    expected = torch.zeros(4, 3)
    hits = torch.zeros(4, 3)
    for number, (y, x) in enumerate((y, x) for y in range(3) for x in range(2)):
        expected[y : y + 2, x : x + 2] += number
        hits[y : y + 2, x : x + 2] += 1
    assert torch.equal(mean, expected / hits)


def test_windows_are_batched_only_on_request(model):
    run = list(slide(model, torch.zeros(2, 3, 8, 32), (8, 8), (8, 8), batch=6))
    assert [shape[0] for shape in model.seen] == [6, 2]
    assert torch.cat([total for total, _ in run], 2).shape == (2, 3, 8, 32)


def test_only_one_row_of_windows_is_in_memory(model):
    heights = {t.shape[2] for t, _ in slide(model, torch.zeros(1, 3, 99, 8), (8, 8), (5, 8), 1)}
    assert max(heights) <= 8


def test_tta_averages_probabilities(model):
    pixels = image(24, 36)
    tta = Predictor(model, CLASSES, MEAN, STD, scales=[1.0], flip=True)
    # The model depends on single pixels: the mirrored pass is the plain one, mirrored back.
    torch.testing.assert_close(tta.probs(pixels), plain(model, pixels).softmax(1))
    scaled = Predictor(model, CLASSES, MEAN, STD, scales=[0.5, 1.0])
    half = F.interpolate(scaled.normalize(pixels), (12, 18), mode="bilinear", antialias=True)
    with torch.no_grad():
        first = F.interpolate(model(half), (24, 36), mode="bilinear").softmax(1)
    expected = (first + plain(model, pixels).softmax(1)) / 2
    torch.testing.assert_close(scaled.probs(pixels), expected)
    assert torch.equal(scaled.labels(pixels), expected.argmax(1))


@pytest.mark.parametrize(
    "options",
    [{}, {"mode": "slide", "crop_size": (8, 8), "stride": (5, 6)}, {"scales": [0.7, 1.3]},
     {"flip": True}],
)  # fmt: skip
def test_every_mode_agrees_on_a_constant_image(model, options):
    pixels = torch.full((1, 3, 21, 33), 77, dtype=torch.uint8)
    probs = Predictor(model, CLASSES, MEAN, STD, **options).probs(pixels)
    torch.testing.assert_close(probs, plain(model, pixels).softmax(1))


@pytest.mark.parametrize("options", [{}, {"flip": True}])
def test_one_run_gives_the_same_labels_and_probs(model, options):
    pixels = image(13, 9)
    predictor = Predictor(model, CLASSES, MEAN, STD, **options)
    labels, probs = predictor.labels_and_probs(pixels, (26, 31))
    assert torch.equal(labels, predictor.labels(pixels, (26, 31)))
    torch.testing.assert_close(probs, predictor.probs(pixels, (26, 31)))


def test_labels_at_another_size_are_upsampled_logits(model):
    pixels = image(13, 9)
    expected = F.interpolate(plain(model, pixels), (50, 40), mode="bilinear").argmax(1)
    assert torch.equal(Predictor(model, CLASSES, MEAN, STD).labels(pixels, (50, 40)), expected)


def test_a_bright_square_stays_where_it_is_at_odd_sizes(model):
    for size in [(37, 53), (41, 64)]:
        pixels = torch.zeros(1, 3, *size, dtype=torch.uint8)
        pixels[:, :, 10:20, 15:30] = 255
        with torch.no_grad():
            model.head.weight.zero_()
            model.head.weight[2] = 1.0
            model.head.bias.zero_()
        for options in ({}, {"mode": "slide", "crop_size": (16, 16), "stride": (9, 9)},
                        {"scales": [0.75, 1.0, 1.25], "flip": True}):  # fmt: skip
            found = Predictor(model, CLASSES, MEAN, STD, **options).labels(pixels)[0] == 2
            rows, columns = found.any(1).nonzero().ravel(), found.any(0).nonzero().ravel()
            corners = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]
            offset = torch.tensor(corners) - torch.tensor([10, 20, 15, 30])
            assert offset.abs().max() <= 1, (size, options)


def test_a_background_class_is_dropped_before_the_argmax(model):
    pixels = image(8, 8)
    predictor = Predictor(model, CLASSES, MEAN, STD, drop_class="background")
    assert predictor.classes.names == ("sky", "road")
    logits = plain(model, pixels)[:, 1:]
    assert torch.equal(predictor.labels(pixels), logits.argmax(1))
    torch.testing.assert_close(predictor.probs(pixels), logits.softmax(1))


def test_a_model_that_needs_multiples_is_padded(model):
    predictor = Predictor(model, CLASSES, MEAN, STD, divisor=32)
    assert predictor.labels(image(33, 64)).shape == (1, 33, 64)
    assert model.seen == [(1, 3, 64, 64)]


def test_impossible_requests_say_what_to_do(model):
    with pytest.raises(ValueError, match="needs crop_size and stride"):
        Predictor(model, CLASSES, MEAN, STD, "slide")
    with pytest.raises(ValueError, match="would be skipped"):
        Predictor(model, CLASSES, MEAN, STD, "slide", crop_size=(8, 8), stride=(9, 8))
    with pytest.raises(ValueError, match="no class 'backgroud'"):
        Predictor(model, CLASSES, MEAN, STD, drop_class="backgroud")
    for scales in ([1.0] * 1000, [1e9], [float("inf")], [float("nan")], [0.5, -1.0], []):
        with pytest.raises(ValueError, match="scales"):
            Predictor(model, CLASSES, MEAN, STD, scales=scales)
    with pytest.raises(ValueError, match="divisor must be at most 1024, not 1000000000"):
        Predictor(model, CLASSES, MEAN, STD, divisor=10**9)
    with pytest.raises(ValueError, match=r"model\.eval"):
        Predictor(model.train(), CLASSES, MEAN, STD).labels(image(4, 4))


def test_no_request_makes_one_image_the_work_of_hours(model):
    tiny = Predictor(model, CLASSES, MEAN, STD, "slide", crop_size=(2, 2), stride=(1, 1))
    with pytest.raises(DataError, match="into 39601, more than 16384; use larger windows"):
        tiny.labels(image(200, 200))
    enlarged = Predictor(model, CLASSES, MEAN, STD, scales=[1.0, 4.0])
    with pytest.raises(DataError, match=r"scales: 4.0 makes 12000x8000 pixels of an image"):
        enlarged.labels(torch.zeros(1, 3, 2000, 3000, dtype=torch.uint8))


@pytest.mark.parametrize(
    "options",
    [{}, {"mode": "slide", "crop_size": (9, 9), "stride": (5, 5)}, {"flip": True}],
    ids=["whole", "slide", "tta"],
)
def test_labels_are_never_made_from_logits_that_are_not_finite(model, options):
    nn.init.constant_(model.head.weight, 3e38)  # finite, but its products are not
    predictor, pixels = Predictor(model, CLASSES, MEAN, STD, **options), image(20, 30, n=2)
    with pytest.raises(NonFiniteLogitsError, match=r"on a\.png, b\.png \(2 of 2 images\)"):
        predictor.labels(pixels, names=["a.png", "b.png"])
    with pytest.raises(NonFiniteLogitsError, match="image 0 of the batch"):
        predictor.labels_and_probs(pixels)
    later = FiniteLogits()
    for name in ("a", "b"):
        predictor.labels(pixels[:1], names=[name], finite=later)
    with pytest.raises(NonFiniteLogitsError, match="on a, b"):
        later.check()
