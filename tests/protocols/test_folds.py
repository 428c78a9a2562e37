"""Class-disjoint folds: who validates where, and trials that train one model a fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.small import assert_same_state, subset_of, trial_config, without_times

from sldml.journal import OBJECTIVE
from sldml.prepared.batches import Frames
from sldml.protocols.classes import ProtocolError
from sldml.protocols.folds import fold_developments, have_queries, scored_folds
from sldml.protocols.split import Development, Split
from sldml.training.checkpoints import CheckpointFile
from sldml.training.trial import run_trial

CONFIG = trial_config(evaluation={"num_folds": 3}, encoder={"small_cnn": {"dropout": 0.2}})


@pytest.fixture
def development(made_split: Split) -> Development:
    """Eight auxiliary classes."""
    return made_split.development


def test_every_class_validates_once_and_never_where_it_trains(development: Development) -> None:
    folds = fold_developments(development, 3)
    classes = sorted(development.merged().classes)
    assert sorted(c for fold in folds for c in fold.validation.classes) == classes
    assert [len(fold.validation.classes) for fold in folds] == [3, 3, 2]
    merged = development.merged()
    label_of = {name: merged.classes[label] for name, label in zip(merged.names, merged.labels, strict=True)}
    offset_of = dict(zip(merged.names, merged.offsets, strict=True))
    for fold in folds:
        assert sorted([*fold.train.classes, *fold.validation.classes]) == classes
        assert fold.measure == "one_shot_accuracy"
        assert len(fold.train) + len(fold.validation) == len(merged)
        for subset in (fold.train, fold.validation):
            assert {subset.classes[label] for label in subset.labels} == set(subset.classes)
            for name, label, offset in zip(subset.names, subset.labels, subset.offsets, strict=True):
                assert label_of[name] == subset.classes[label]
                assert offset_of[name] == offset


def test_one_fold_is_the_protocols_own(development: Development) -> None:
    assert fold_developments(development, 1) == [development]


@pytest.mark.parametrize("num_folds", [5, 50])
def test_too_many_folds_are_refused(development: Development, num_folds: int) -> None:
    with pytest.raises(ProtocolError, match=f"evaluation.num_folds: {num_folds} folds of 8 auxiliary classes"):
        fold_developments(development, num_folds)


def test_three_classes_cannot_be_folded() -> None:
    few = Development(subset_of([0, 0, 1, 1], [3] * 4), subset_of([0, 1], [3] * 2), "map_at_r")
    with pytest.raises(ProtocolError, match=r"evaluation\.num_folds"):
        fold_developments(few, 2)


def test_large_folds_are_scored_on_a_sample_of_every_class(
    development: Development, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fold_developments(development, 3)
    assert [len(fold.validation) for fold in whole] == [15, 15, 10]
    assert [f.validation.names for f in scored_folds(development, 3)] == [f.validation.names for f in whole]
    monkeypatch.setattr("sldml.protocols.folds.MOST_TO_SCORE", 12)
    for fold, scored in zip(whole, scored_folds(development, 3), strict=True):
        assert scored.train.names == fold.train.names  # all there is to learn from stays
        assert len(scored.validation) == min(12, len(fold.validation))
        counts = np.bincount(scored.validation.labels)
        assert len(counts) == len(fold.validation.classes)
        assert counts.max() - counts.min() <= 1
        assert set(scored.validation.names) <= set(fold.validation.names)


def test_every_repeat_divides_the_classes_in_another_way(development: Development) -> None:
    classes = sorted(development.merged().classes)
    divided = [[fold.validation.classes for fold in scored_folds(development, 3, repeat)] for repeat in (1, 2, 3, 4)]
    assert divided[0] == [fold.validation.classes for fold in fold_developments(development, 3)]
    for folds in divided:
        assert sorted(c for fold in folds for c in fold) == classes
        assert [len(fold) for fold in folds] == [3, 3, 2]
    assert len({frozenset(map(frozenset, folds)) for folds in divided}) == 4
    assert [[f.validation.names for f in scored_folds(development, 3, 2)] for _ in range(2)] == [
        [f.validation.names for f in scored_folds(development, 3, 2)]
    ] * 2


def test_every_fold_of_every_repeat_has_a_query() -> None:
    """Of eight classes six have a single recording: most divisions into two folds put the other two together."""
    labels = [0, 0, 1, 1, 2, 3, 4, 5, 6, 7]
    whole = subset_of(labels, [3] * len(labels))
    names = list(whole.classes)
    few = Development(whole.of_classes(names[:4]), whole.of_classes(names[4:]), "one_shot_accuracy")
    for repeat in range(1, 30):
        assert have_queries(scored_folds(few, 2, repeat))


def run(development: Development, frames: Frames, **options: Any) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = []
    run_trial(options.pop("config", CONFIG), development, frames, report=reports.append, **options)
    return reports


def test_a_trial_trains_one_fold_after_another_and_its_value_is_the_mean_of_those_that_are_done(
    development: Development, made_frames: Frames
) -> None:
    reports = run(development, made_frames)
    assert [r["epoch"] for r in reports] == list(range(1, 10))
    assert [r["state"] for r in reports] == ["running"] * 8 + ["completed"]
    own = [r[f"val/accuracy_fold_{1 + (r['epoch'] - 1) // 3}"] for r in reports]
    ends = np.array(own)[2::3]
    values = [*own[:3], own[2], own[2], *[ends[:2].mean()] * 3, ends.mean()]
    assert [r[OBJECTIVE] for r in reports] == pytest.approx(values)
    assert [r["val/num_folds"] for r in reports] == [1, 1, 1, 1, 1, 2, 2, 2, 3]
    last = reports[-1]
    assert [last[f"val/accuracy_fold_{fold}"] for fold in (1, 2, 3)] == pytest.approx(ends)
    assert last["val/accuracy_fold_std"] == pytest.approx(np.std(ends, ddof=1))
    assert not any("per_class" in name for name in last), "they are of one fold"
    alone = run(fold_developments(development, 3)[2], made_frames, config=trial_config(encoder=CONFIG.encoder))
    assert [r["val/accuracy"] for r in alone] == own[6:]


def test_without_folds_nothing_is_said_of_them(development: Development, made_frames: Frames) -> None:
    (report,) = run(development, made_frames, config=trial_config(train={"max_epochs": 1}))
    assert not any("fold" in key for key in report)


def test_the_saved_weights_are_those_of_the_first_fold(
    development: Development, made_frames: Frames, tmp_path: Path
) -> None:
    file, alone = CheckpointFile(str(tmp_path / "folds")), CheckpointFile(str(tmp_path / "alone"))
    run(development, made_frames, checkpoint=file)
    config = trial_config(encoder=CONFIG.encoder)
    run(fold_developments(development, 3)[0], made_frames, config=config, checkpoint=alone)
    first, second = (each.load_weights(torch.device("cpu")) for each in (file, alone))
    assert first is not None
    assert second is not None
    assert_same_state(first, second)


@pytest.mark.parametrize("kill_at", [2, 3, 5])
def test_an_interrupted_trial_of_folds_goes_on_exactly(
    development: Development, made_frames: Frames, tmp_path: Path, kill_at: int
) -> None:
    whole = run(development, made_frames)

    class KilledError(Exception):
        pass

    file = CheckpointFile(str(tmp_path))
    part: list[dict[str, Any]] = []

    def report(metrics: dict[str, Any]) -> None:
        part.append(metrics)
        if len(part) == kill_at:
            raise KilledError

    save = file.save
    file.save = lambda state, *, must: save(state, must=True)  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        run_trial(CONFIG, development, made_frames, report=report, checkpoint=file)
    rest = run(development, made_frames, checkpoint=file, epochs_reported=kill_at)
    assert [without_times(r) for r in part + rest] == [without_times(r) for r in whole]
