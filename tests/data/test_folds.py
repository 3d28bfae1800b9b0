"""Cross-validation: whole groups, each image tested once, classes spread."""

import pickle

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold

from segbench.data.classes import ClassSet
from segbench.data.dataset import Record
from segbench.data.folds import Folds, deal
from segbench.errors import DataError


class Tiny:
    """Twelve groups of three images; every fourth group has the rare class."""

    classes = ClassSet(("common", "rare"), ((9, 0, 0), (255, 0, 0)))
    protocol = "tiny"
    comparable = True
    terms = "none"

    def __init__(self, groups=12, shares=False):
        self.groups, self.shares = groups, shares

    def records(self, split):
        part = {"train": range(8), "val": range(8, 10), "test": range(10, 12)}[split]
        if self.shares and split == "test":
            part = range(8, 10)
        return [Record(f"{g}_{i}", str(g), index=3 * g + i)
                for g in part if g < self.groups for i in range(3)]  # fmt: skip

    def read(self, record):
        mask = np.zeros((2, 2), np.uint8)
        mask[0, 0] = int(record.group) % 4 == 0
        return np.zeros((2, 2, 3), np.uint8), mask

    def fingerprint_key(self):
        return "tiny"


def all_folds(source, number):
    return [Folds(source, number, k) for k in range(number)]


def names(fold, split):
    return {record.name for record in fold.records(split)}


def groups(fold, split):
    return {record.group for record in fold.records(split)}


def test_every_image_is_tested_once_and_groups_are_never_divided():
    folds = all_folds(Tiny(), 4)
    tested = [name for fold in folds for name in names(fold, "test")]
    assert len(tested) == len(set(tested)) == 36
    for fold in folds:
        parts = [groups(fold, split) for split in ("train", "val", "test")]
        assert sum(map(len, parts)) == len(set().union(*parts)) == 12
        assert sum(len(fold.records(split)) for split in ("train", "val", "test")) == 36


def test_a_fold_selects_on_the_next_one_and_never_sees_its_test():
    folds = all_folds(Tiny(), 4)
    assert names(folds[0], "val") == names(folds[1], "test")
    assert names(folds[3], "val") == names(folds[0], "test")


def test_the_rare_class_is_in_every_fold():
    for fold in all_folds(Tiny(), 3):
        assert any(int(group) % 4 == 0 for group in groups(fold, "test"))


def test_without_classes_to_spread_it_is_the_group_k_fold_of_scikit_learn():
    class Plain(Tiny):
        def read(self, record):
            return np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8)

    source = Plain()
    records = [r for split in ("train", "val", "test") for r in source.records(split)]
    found = deal(records, source, 5)
    members = [record.group for record in records]
    for fold, (_, test) in enumerate(GroupKFold(5).split(members, groups=members)):
        assert np.flatnonzero(found == fold).tolist() == test.tolist()


def test_splits_that_share_images_give_each_once():
    fold = Folds(Tiny(shares=True), 3, 0)
    assert sum(len(fold.records(split)) for split in ("train", "val", "test")) == 30


def test_images_of_one_name_in_two_splits_are_both_kept_and_read():
    class Same(Tiny):
        def records(self, split):
            offset = {"train": 0, "val": 4, "test": 8}[split]
            return [Record(f"{g}", f"{g}", index=g + offset) for g in range(4)]

        def read(self, record):
            return np.full((2, 2, 3), record.index, np.uint8), np.zeros((2, 2), np.uint8)

    folds = all_folds(Same(), 3)
    records = [r for fold in folds for r in fold.records("test")]
    assert len({record.name for record in records}) == 12
    assert {int(folds[0].read(record)[0][0, 0, 0]) for record in records} == set(range(12))


def test_it_is_a_source_that_workers_can_have():
    fold = pickle.loads(pickle.dumps(Folds(Tiny(), 3, 1)))
    assert not fold.comparable
    assert (fold.protocol, fold.terms, fold.classes.num_classes) == ("tiny", "none", 2)
    assert not hasattr(fold, "root")
    assert fold.read(fold.records("test")[0])[1].shape == (2, 2)


@pytest.mark.parametrize(
    ("folds", "fold", "message"),
    [(2, 0, "at least 3"), (5, 5, "must be from 0 to 4"), (5, -1, "must be from 0 to 4")],
)
def test_impossible_folds_are_refused(folds, fold, message):
    with pytest.raises(DataError, match=message):
        Folds(Tiny(), folds, fold)


def test_more_folds_than_groups_are_refused():
    with pytest.raises(DataError, match=r"only 4 groups .* use data.folds=4 or fewer"):
        Folds(Tiny(groups=4), 5, 0).records("train")
