"""What was fixed before a training: the margin within which a model is as good as a baseline.

It is in the config of the training (`compare.margin`). A later evaluation of its checkpoint takes
it along, so that a report over such scores still knows that it was not chosen afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from segbench.artifacts.plain import is_number, mapping_at
from segbench.artifacts.scores import Text

LARGEST_MARGIN = 100


@dataclass(frozen=True, kw_only=True)
class Aim:
    """A margin that was fixed before a training.

    Args:
        study: of the training.
        margin: the largest loss that does not matter, in points.
        baseline: label of the model that a loss is measured against.
        metric: the score that the margin is of.
    """

    study: Text
    margin: Annotated[float, Field(gt=0, le=LARGEST_MARGIN)]
    baseline: Text
    metric: Text = "mIoU"


def aim_of(config: Mapping[str, Any], study: str) -> Aim | None:
    """The margin in the config of a training of a study; None if there is none."""
    node = mapping_at(config, "compare")
    margin, baseline = node.get("margin"), node.get("baseline")
    if margin is None or not is_number(margin) or not 0 < margin <= LARGEST_MARGIN:
        return None
    if not isinstance(baseline, str) or not baseline:
        return None
    metric = node.get("metric", Aim.metric)
    if not isinstance(metric, str):
        return None
    return Aim(study=study, margin=float(margin), baseline=baseline, metric=metric)
