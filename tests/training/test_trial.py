from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.small import assert_same_state, trial_config, without_times

from sldml.config.trial import TrialConfig
from sldml.embedding.embed import embed
from sldml.embedding.view import View
from sldml.journal import OBJECTIVE
from sldml.prepared.batches import Frames
from sldml.protocols.folds import scored_folds
from sldml.protocols.split import Development, Split
from sldml.recognition.one_shot import exemplar_draws, map_at_r, score_embeddings
from sldml.training.checkpoints import CheckpointFile
from sldml.training.fixed_epochs import run_final, run_fold
from sldml.training.loop import DivergedError, EpochStats, Training
from sldml.training.trial import WORST, run_trial
from sldml.training.validation import Validator

CPU = torch.device("cpu")
CONFIG = trial_config(
    train={"max_epochs": 4},
    loss={"name": "proxy_anchor"},
    head={"weight": 0.3},
    augment={"rotation_deg": 45.0, "time_warp": 0.3},
    encoder={"small_cnn": {"dropout": 0.3}},
)
Reports = list[dict[str, Any]]
Run = Callable[..., Reports]


class KilledError(Exception):
    """The machine is gone."""


@pytest.fixture
def run(made_split: Split, made_frames: Frames) -> Run:
    """Run a trial and return what it reported; with `kill_at`, it dies in its report of that number."""

    def run_one(
        config: TrialConfig = CONFIG,
        *,
        kill_at: int | None = None,
        development: Development = made_split.development,
        frames: Frames = made_frames,
        **options: Any,
    ) -> Reports:
        reports: Reports = []

        def report(metrics: dict[str, Any]) -> None:
            reports.append(dict(metrics))
            if len(reports) == kill_at:
                raise KilledError

        try:
            run_trial(config, development, frames, report=report, **options)
        except KilledError:
            assert len(reports) == kill_at
        return reports

    return run_one


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckpointFile:
    """A checkpoint file that is written after every epoch, however long that takes."""
    file = CheckpointFile(str(tmp_path / "trial"))
    save = file.save
    monkeypatch.setattr(file, "save", lambda state, *, must: save(state, must=True))
    return file


def same(first: Reports, second: Reports) -> bool:
    return [without_times(m) for m in first] == [without_times(m) for m in second]


def saved(checkpoint: CheckpointFile) -> dict[str, Any]:
    state = checkpoint.load(CPU)
    assert state is not None
    return state


# ----------------------------------------------------------------------------------------------------- reports


def test_one_report_an_epoch(run: Run) -> None:
    reports = run()
    assert [m["epoch"] for m in reports] == [1, 2, 3, 4]
    assert [m["state"] for m in reports] == ["running"] * 3 + ["completed"]
    for metrics in reports:
        numbers = [v for v in metrics.values() if isinstance(v, int | float)]
        assert np.isfinite(numbers).all()
        right, queries = metrics["val/right_per_class"], metrics["val/queries_per_class"]
        assert len(right) == len(queries) == 3
        assert sum(right) / sum(queries) == pytest.approx(metrics["val/accuracy"], abs=1e-4)
        assert 0 <= metrics["val/accuracy"] <= 1
        assert metrics["time/data_s"] > 0
        assert metrics["time/step_s"] > 0
        assert metrics["time/evaluation_s"] > 0
        assert metrics["images_per_s"] > 0
    assert set(reports[0]) >= {"val/accuracy_std", "val/map_at_r", "train/loss", "train/head_loss", "train/lr"}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accuracies of four epochs, whatever the model does."""
    accuracies = iter([0.5, 0.25, 0.75, 0.625])

    def scores(validator: Validator, encoder: object) -> dict[str, float]:
        return {"val/accuracy": next(accuracies), "val/accuracy_std": 0.125, "val/map_at_r": 0.5}

    monkeypatch.setattr(Validator, "__call__", scores)


@pytest.mark.usefixtures("scripted")
def test_the_objective_is_the_accuracy_after_the_epoch(run: Run) -> None:
    reports = run()
    assert [m[OBJECTIVE] for m in reports] == [0.5, 0.25, 0.75, 0.625]
    assert [m["val/accuracy_std"] for m in reports] == [0.125] * 4


def test_what_is_reported_is_what_the_saved_weights_score(
    run: Run, checkpoint: CheckpointFile, made_split: Split, made_frames: Frames
) -> None:
    reports = run(checkpoint=checkpoint)
    development = made_split.development
    training = Training(CONFIG, View(made_frames, development.train))
    training.load_state_dict(saved(checkpoint)["training"])
    validation = View(made_frames, development.validation)
    embeddings = embed(training.encoder, validation, CONFIG.normalize, CONFIG.representation)
    draws = exemplar_draws(validation.labels, 10, seed=0)
    expected = score_embeddings(embeddings, validation.labels, draws)
    assert reports[-1]["val/accuracy"] == pytest.approx(expected.mean)
    assert reports[-1]["val/accuracy_std"] == pytest.approx(expected.std)
    assert reports[-1]["val/map_at_r"] == pytest.approx(map_at_r(embeddings, validation.labels))


def test_where_subjects_are_held_out_retrieval_is_the_objective(run: Run, made_split: Split) -> None:
    parts = made_split.development
    reports = run(development=Development(parts.train, parts.validation, "map_at_r"))
    assert all(m["val/accuracy"] == m["val/map_at_r"] for m in reports)
    assert all(m["val/accuracy_std"] == 0.0 for m in reports)


def test_the_same_configuration_reports_the_same_and_another_seed_another(run: Run) -> None:
    first = run()
    torch.manual_seed(3)
    assert same(run(), first)
    other = run(CONFIG.model_copy(update={"seed": 1}))
    assert all(a["train/loss"] != b["train/loss"] for a, b in zip(first, other, strict=True))


# ------------------------------------------------------------------------------------------------------- resume


@pytest.mark.parametrize("kill_at", [1, 2, 3])
def test_a_resumed_trial_reports_and_ends_as_the_uninterrupted_one(
    run: Run, checkpoint: CheckpointFile, tmp_path: Path, kill_at: int
) -> None:
    whole_file = CheckpointFile(str(tmp_path / "whole"))
    whole = run(checkpoint=whole_file)
    first = run(checkpoint=checkpoint, kill_at=kill_at)
    torch.manual_seed(123)
    second = run(checkpoint=CheckpointFile(str(tmp_path / "trial")), epochs_reported=kill_at)
    assert len(first) == kill_at
    assert same(first + second, whole)
    assert_same_state(saved(checkpoint)["training"], saved(whole_file)["training"])


def test_epochs_that_were_saved_but_not_counted_are_reported_again_and_not_trained_again(
    run: Run, checkpoint: CheckpointFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(checkpoint=checkpoint, kill_at=3)
    trained: list[int] = []
    run_epoch = Training.run_epoch
    monkeypatch.setattr(Training, "run_epoch", lambda self: trained.append(self.epoch + 1) or run_epoch(self))
    second = run(checkpoint=checkpoint, epochs_reported=1)
    assert second[:2] == first[1:3]  # times included: they are the very same reports
    assert [m["epoch"] for m in second] == [2, 3, 4]
    assert trained == [4]


def test_epochs_that_the_checkpoint_lacks_are_trained_again(run: Run, checkpoint: CheckpointFile) -> None:
    whole = run()
    run(checkpoint=checkpoint, kill_at=1)
    second = run(checkpoint=checkpoint, epochs_reported=3)  # two reports more than were saved
    assert [m["epoch"] for m in second] == [2, 3, 4]
    assert same(second, whole[1:])


def test_a_completed_trial_repeats_only_what_did_not_count(run: Run, checkpoint: CheckpointFile) -> None:
    first = run(checkpoint=checkpoint)
    # Its end may have been lost with its machine: something has to be reported.
    assert run(checkpoint=checkpoint, epochs_reported=4) == first[3:]
    assert run(checkpoint=checkpoint, epochs_reported=3) == first[3:]
    assert run(checkpoint=checkpoint, epochs_reported=0) == first


def test_an_epoch_is_saved_before_it_is_reported(run: Run, checkpoint: CheckpointFile) -> None:
    run(checkpoint=checkpoint, kill_at=2)
    state = saved(checkpoint)
    assert state["training"]["epoch"] == 2
    assert [m["epoch"] for m in state["history"]] == [1, 2]


@pytest.mark.usefixtures("scripted")
def test_the_last_epoch_must_be_saved(run: Run, checkpoint: CheckpointFile, monkeypatch: pytest.MonkeyPatch) -> None:
    musts: list[bool] = []
    monkeypatch.setattr(checkpoint, "save", lambda state, *, must: musts.append(must))
    run(checkpoint=checkpoint)
    assert musts == [False, False, False, True]


@pytest.mark.usefixtures("scripted")
def test_the_epochs_of_rungs_must_be_saved(
    run: Run, checkpoint: CheckpointFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    musts: list[bool] = []
    monkeypatch.setattr(checkpoint, "save", lambda state, *, must: musts.append(must))
    run(checkpoint=checkpoint, rungs=(2,))
    assert musts == [False, True, False, True]


# --------------------------------------------------------------------------------------------------- divergence


def test_a_diverged_trial_reports_once_with_a_finite_worst_value(run: Run, made_frames: Frames) -> None:
    broken = Frames(made_frames._values * torch.nan, None, made_frames.layout, CPU)
    (report,) = run(frames=broken)
    assert report["state"] == "diverged"
    assert report["val/accuracy"] == report[OBJECTIVE] == WORST == 0.0
    assert report["epoch"] == 1
    assert report["error"] == "the loss is not finite in epoch 1"


def test_divergence_in_a_later_epoch_keeps_the_earlier_reports(
    run: Run, checkpoint: CheckpointFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_epoch = Training.run_epoch

    def diverge_in_the_third(self: Training) -> EpochStats:
        stats = run_epoch(self)
        if self.epoch == 3:
            raise DivergedError("the loss is not finite in epoch 3")
        return stats

    monkeypatch.setattr(Training, "run_epoch", diverge_in_the_third)
    reports = run(checkpoint=checkpoint)
    assert [(m["epoch"], m["state"]) for m in reports] == [(1, "running"), (2, "running"), (3, "diverged")]
    assert saved(checkpoint)["training"]["epoch"] == 2
    again = run(checkpoint=checkpoint, epochs_reported=2)
    assert [(m["epoch"], m["state"]) for m in again] == [(3, "diverged")]


# -------------------------------------------------------------------------------------------------- final models


@pytest.fixture
def finish(made_split: Split, made_frames: Frames) -> Run:
    def run_one(
        num_epochs: int, checkpoint: CheckpointFile, config: TrialConfig = CONFIG, *, kill_at: int | None = None
    ) -> Reports:
        reports: Reports = []

        def report(metrics: dict[str, Any]) -> None:
            reports.append(dict(metrics))
            if len(reports) == kill_at:
                raise KilledError

        merged = View(made_frames, made_split.development.merged())
        try:
            run_final(config, num_epochs, merged, report=report, checkpoint=checkpoint)
        except KilledError:
            assert len(reports) == kill_at
        return reports

    return run_one


def test_a_final_model_trains_on_all_auxiliary_classes_and_measures_nothing(
    finish: Run, checkpoint: CheckpointFile, made_split: Split
) -> None:
    reports = finish(2, checkpoint)
    assert [(m["epoch"], m["state"]) for m in reports] == [(1, "running"), (2, "completed")]
    assert not any(name.startswith("val/") for m in reports for name in m)
    training = saved(checkpoint)["training"]
    merged = made_split.development.merged()
    assert set(merged.classes) == {*made_split.development.train.classes, *made_split.development.validation.classes}
    assert len(merged) == 40
    assert training["objectives"]["0.head.1.weight"].shape == (8, 8)  # [classes, dim]
    assert training["objectives"]["0.loss.proxies"].shape == (8, 8)
    assert training["epoch"] == 2


@pytest.mark.parametrize(
    "schedule",
    [
        {"name": "cosine", "cosine": {"warmup_epochs": 0.0, "final_fraction": 0.0}},
        {"name": "step", "step": {"every_epochs": 2, "gamma": 0.1}},
    ],
)
def test_a_final_models_schedule_is_the_trials_own_cut_and_not_squeezed(
    run: Run, finish: Run, checkpoint: CheckpointFile, schedule: dict[str, Any]
) -> None:
    config = CONFIG.model_copy(update={"schedule": trial_config(schedule=schedule).schedule})
    rates = [m["train/lr"] for m in run(config)]
    assert [m["train/lr"] for m in finish(3, checkpoint, config)] == pytest.approx(rates[:3])
    assert rates[2] > 0 or schedule["name"] == "step"


def test_a_resumed_final_model_is_the_uninterrupted_one(
    finish: Run, checkpoint: CheckpointFile, tmp_path: Path
) -> None:
    whole_file = CheckpointFile(str(tmp_path / "whole"))
    whole = finish(3, whole_file)
    first = finish(3, checkpoint, kill_at=2)
    second = finish(3, checkpoint)
    assert second[:2] == first
    assert same(second, whole)
    assert_same_state(saved(checkpoint)["training"], saved(whole_file)["training"])
    assert finish(3, checkpoint) == second  # done: nothing is trained again


@pytest.fixture
def score_fold(made_split: Split, made_frames: Frames) -> Run:
    def run_one(num_epochs: int, checkpoint: CheckpointFile, *, kill_at: int | None = None) -> Reports:
        reports: Reports = []

        def report(metrics: dict[str, Any]) -> None:
            reports.append(dict(metrics))
            if len(reports) == kill_at:
                raise KilledError

        fold = scored_folds(made_split.development, 4)[1]
        try:
            run_fold(CONFIG, num_epochs, fold, made_frames, report=report, checkpoint=checkpoint)
        except KilledError:
            assert len(reports) == kill_at
        return reports

    return run_one


def test_a_fold_is_measured_once_at_its_end(
    score_fold: Run, checkpoint: CheckpointFile, made_split: Split, made_frames: Frames
) -> None:
    reports = score_fold(3, checkpoint)
    assert [(m["epoch"], m["state"]) for m in reports] == [(1, "running"), (2, "running"), (3, "completed")]
    assert not any(name.startswith("val/") for m in reports[:-1] for name in m), "something was there to choose by"
    fold = scored_folds(made_split.development, 4)[1]
    training = Training(CONFIG, View(made_frames, fold.train))
    rates = [training.run_epoch().lr for _ in range(3)]
    assert [m["train/lr"] for m in reports] == rates  # the trial's own schedule over four epochs, cut
    side = View(made_frames, fold.validation)
    embeddings = embed(training.encoder, side, CONFIG.normalize, CONFIG.representation)
    expected = score_embeddings(embeddings, side.labels, exemplar_draws(side.labels, 10, seed=0))
    assert reports[-1]["val/accuracy"] == pytest.approx(expected.mean)


@pytest.mark.parametrize("kill_at", [1, 2, 3])
def test_a_resumed_fold_is_the_uninterrupted_one(
    score_fold: Run, checkpoint: CheckpointFile, tmp_path: Path, kill_at: int
) -> None:
    whole = score_fold(3, CheckpointFile(str(tmp_path / "whole")))
    first = score_fold(3, checkpoint, kill_at=kill_at)
    assert ("training" in saved(checkpoint)) is (kill_at < 3)  # what is done keeps its reports alone
    second = score_fold(3, checkpoint)
    assert second[:kill_at] == first
    assert same(second, whole)
    assert score_fold(3, checkpoint) == second  # done: nothing is trained again


def test_a_final_model_that_diverges_says_so(
    finish: Run, checkpoint: CheckpointFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(self: Training) -> EpochStats:
        self.epoch += 1
        raise DivergedError("the loss is not finite in epoch 1")

    monkeypatch.setattr(Training, "run_epoch", diverge)
    assert finish(3, checkpoint) == [{"epoch": 1, "state": "diverged", "error": "the loss is not finite in epoch 1"}]
    assert checkpoint.load(CPU) is None
