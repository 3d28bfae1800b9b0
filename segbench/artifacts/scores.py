"""The scores of a run as `result.json` contains them, and the types of the fields of a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, Strict, StringConstraints

Text = Annotated[str, StringConstraints(max_length=100_000)]
Flag = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(ge=0, lt=2**63)]
Amount = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False)]
Split = Annotated[str, StringConstraints(pattern="^(train|val|test)$")]
ByClass = dict[Text, Fraction | None]
ByName = dict[Text, Fraction | None]  # of groups of images, of categories of classes, of scores


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one split, fractions; None if a value is undefined.

    The files of `metrics/` define them; fields with a default are optional. Reports show whatever
    is a field: `ByClass` in the table of classes, with `mean_...` as its mean.

    Args:
        mIoU: mean of `IoU`.
        mDice: mean of `Dice`.
        pixel_acc: share of the labeled pixels with the right class.
        mean_acc: mean of `recall`.
        fwIoU: mean of `IoU` weighted by the share of true pixels.
        IoU, Dice, precision, recall: by class name.
        mean_image_mIoU: mean of the mIoU of each image.
        worst_tenth_mIoU: mean of the mIoU of the tenth of the images with the lowest mIoU.
        groups: mIoU by group of images.
        boundary_F, mean_boundary_F: boundary F-score by class, and its mean.
        boundary_IoU, mean_boundary_IoU: boundary IoU by class, and its mean.
        ECE: expected calibration error.
        by_image: fine-grained scores by name, see `metrics.fine_grained`.
        corrupted: mIoU on corrupted images by corruption and severity, see `robustness`.
        mean_corrupted_mIoU: mean over severities, then over corruptions.
        NLL, Brier, SCE, AURC: of the probabilities, see `metrics.probabilistic`.
        class_SCE: calibration error by class.
        HD95, NSD: of the outlines by class, see `metrics.surface`; mean over images.
        mean_HD95, mean_NSD: their means.
        category_IoU, mean_category_IoU: IoU of Cityscapes categories, and its mean.
        iIoU, mean_iIoU, category_iIoU, mean_category_iIoU: Cityscapes' instance-level IoU.
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
    groups: ByName | None = None
    boundary_F: ByClass | None = None
    mean_boundary_F: Fraction | None = None
    boundary_IoU: ByClass | None = None
    mean_boundary_IoU: Fraction | None = None
    ECE: Fraction | None = None
    by_image: ByName | None = None
    corrupted: dict[Text, ByClass] | None = None
    mean_corrupted_mIoU: Fraction | None = None
    NLL: Amount | None = None
    Brier: Annotated[float, Strict(), Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    SCE: Fraction | None = None
    class_SCE: ByClass | None = None
    AURC: Fraction | None = None
    HD95: dict[Text, Amount | None] | None = None
    mean_HD95: Amount | None = None
    NSD: ByClass | None = None
    mean_NSD: Fraction | None = None
    category_IoU: ByName | None = None
    mean_category_IoU: Fraction | None = None
    iIoU: ByClass | None = None
    mean_iIoU: Fraction | None = None
    category_iIoU: ByName | None = None
    mean_category_iIoU: Fraction | None = None
