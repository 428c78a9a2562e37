import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.catalogs import NTU, assert_tells_nothing_of
from support.made_history import epoch
from support.small import trial_config, without_times

from sldml.config.protocol import NtuOneShot
from sldml.config.trial import TrialConfig
from sldml.embedding.images import image_shape
from sldml.embedding.view import View
from sldml.journal import (
    Accuracy,
    Candidate,
    Epoch,
    FinalRecord,
    FinalResult,
    History,
    TestResults,
    TrialRecord,
    TrialState,
)
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.folds import scored_folds
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Sealed, Split
from sldml.recognition.baselines import initialised
from sldml.recognition.matching import Matching
from sldml.recognition.one_shot import exemplar_draws, score_distances
from sldml.search.final import (
    FinalTraining,
    FoldScoring,
    FoldTraining,
    NothingToTrainError,
    plan_finals,
    predict,
    sealed_test,
    trained_matching,
    was_tested,
)
from sldml.search.folders import fold_weights
from sldml.training.checkpoints import CheckpointFile
from sldml.training.fixed_epochs import run_fold

CONFIG = trial_config()


def trial(trial_id: str, accuracies: list[float], state: TrialState = "completed") -> TrialRecord:
    best = np.maximum.accumulate(accuracies).tolist()
    epochs = [
        epoch(i, b, **{"val/accuracy": a}) for i, (a, b) in enumerate(zip(accuracies, best, strict=True), start=1)
    ]
    return TrialRecord(trial_id, {**CONFIG.to_dict(), "seed": 9}, 0.0, state, epochs)


def history_of(*trials: TrialRecord) -> History:
    return History(trials={record.trial_id: record for record in trials})


def finished(history: History, seeds: dict[str, list[int]]) -> History:
    """The history with completed final trainings."""
    for trial_id, own in seeds.items():
        for seed in own:
            config = {**history.trials[trial_id].config, "seed": seed}
            epochs = [Epoch(epoch=number) for number in (1, 2, 3)]
            history.finals[trial_id, seed] = FinalRecord(trial_id, config, 0.0, "completed", epochs, seed=seed)
    return history


def result(trial_id: str, seeds: tuple[int, ...], num_epochs: int, accuracy: float = 0.5) -> FinalResult:
    scores = Accuracy(mean=accuracy, ci95=None, values=(accuracy,) * len(seeds))
    return FinalResult(
        trial_id=trial_id,
        config={},
        val_accuracy=0.5,
        num_epochs=num_epochs,
        seeds=seeds,
        test_accuracy=scores,
        confusions=(),
    )


def results_of(*finals: FinalResult) -> TestResults:
    return TestResults(num_queries=1, num_classes=1, num_exemplars=1, finals=finals)


# --------------------------------------------------------------------------------------------------------- plan


def test_the_first_ones_are_planned_in_order_for_their_whole_schedule() -> None:
    order = [trial("t2", [0.3, 0.9, 0.1], "pruned"), trial("t1", [0.2, 0.5]), trial("t3", [0.9])]
    order[1].config["train"] = {**order[1].config["train"], "max_epochs": 7}
    plan = plan_finals(order, top_k=2, num_seeds=2)
    assert [(p.trial_id, p.seed, p.num_epochs) for p in plan] == [
        ("t2", 1, 3), ("t2", 2, 3), ("t1", 1, 7), ("t1", 2, 7),
    ]  # fmt: skip
    records = {record.trial_id: record for record in order}
    for final in plan:
        assert final.config == {**records[final.trial_id].config, "seed": final.seed}
        assert final.name == f"{final.trial_id} seed {final.seed}"
    assert order[0].config["seed"] == 9
    assert len(plan_finals(order, top_k=10, num_seeds=1)) == 3


def test_with_nothing_to_go_on_with_it_is_said() -> None:
    with pytest.raises(NothingToTrainError, match="no trial has a result"):
        plan_finals([], 3, 3)


def test_a_test_is_taken_again_only_for_other_models() -> None:
    plan = plan_finals([trial("t2", [0.6, 0.7]), trial("t1", [0.5])], 2, 2)
    first, second = result("t2", (1, 2), 3), result("t1", (1, 2), 3)
    assert was_tested(results_of(first, second), plan)
    assert not was_tested(results_of(second, first), plan)
    assert not was_tested(results_of(first), plan)
    assert not was_tested(results_of(first.model_copy(update={"num_epochs": 1}), second), plan)


# -------------------------------------------------------------------------------------------------- sealed test


class Weights:
    """Weights of "final trainings": other ones for each trial and seed."""

    def __init__(self, made_set: PreparedSet) -> None:
        self._shape = image_shape(CONFIG.representation, made_set.layout)
        self.loaded: list[tuple[str, int]] = []

    def __call__(self, trial_id: str, seed: int) -> Mapping[str, Any]:
        self.loaded.append((trial_id, seed))
        return initialised(CONFIG.encoder, self._shape, seed + 100 * int(trial_id[1:])).state_dict()


@pytest.fixture
def weights(made_set: PreparedSet) -> Weights:
    return Weights(made_set)


def search() -> History:
    trials = [trial(f"t{i}", [0.1 * i]) for i in (3, 1, 5, 4, 2)]
    return finished(history_of(*trials), {"t1": [1], "t5": [1, 2, 3], "t3": [1, 2], "t4": [1]})


def plan_of(history: History, *order: str) -> list[FinalTraining]:
    """Three seeds of these configurations."""
    return plan_finals([history.trials[trial_id] for trial_id in order], top_k=9, num_seeds=3)


def test_every_final_model_is_scored_in_the_order_of_the_plan(
    weights: Weights, made_set: PreparedSet, made_split: Split, made_frames: Frames
) -> None:
    history, sealed = search(), made_split.sealed
    history.finals["t3", 3] = FinalRecord("t3", history.trials["t3"].config, 0.0, "diverged", seed=3)
    results = sealed_test(history, plan_of(history, "t3", "t5", "t2", "t4"), made_split, made_frames, weights)
    assert (results.num_queries, results.num_classes, results.num_exemplars) == (80, 20, 20)
    assert [(f.trial_id, f.seeds) for f in results.finals] == [
        ("t3", (1, 2)), ("t5", (1, 2, 3)), ("t4", (1,)),
    ]  # fmt: skip
    assert weights.loaded == [(f.trial_id, s) for f in results.finals for s in f.seeds]
    for final in results.finals:
        assert final.val_accuracy == history.trials[final.trial_id].value
        assert final.num_epochs == 3
        assert final.config["seed"] == 9
        accuracies = []
        for seed in final.seeds:
            matching = trained_matching(CONFIG, weights(final.trial_id, seed), made_set.layout)
            accuracies.append(float((predict(matching, sealed, made_frames) == sealed.queries.labels).mean()))
        accuracy = final.test_accuracy
        assert accuracy.values == pytest.approx(accuracies)
        assert accuracy.mean == pytest.approx(np.mean(accuracies))
        if len(final.seeds) > 1:
            assert accuracy.ci95 is not None
            assert accuracy.ci95[0] <= accuracy.mean <= accuracy.ci95[1]
        matrix = np.array(final.confusions[0].matrix)
        assert final.confusions[0].labels == sealed.exemplars.classes
        assert matrix.sum() == 80
        assert matrix.trace() / 80 == pytest.approx(accuracies[0])
    assert results.finals[2].test_accuracy.ci95 is None  # one seed has no spread


def test_seeds_stand_in_order_however_they_began(weights: Weights, made_split: Split, made_frames: Frames) -> None:
    """Two begin at once: which comes first in the journal is chance, and the first one ships."""
    history = finished(history_of(trial("t5", [0.5])), {"t5": [2, 1, 3]})
    (found,) = sealed_test(history, plan_of(history, "t5"), made_split, made_frames, weights).finals
    assert found.seeds == (1, 2, 3)
    ordered = finished(history_of(trial("t5", [0.5])), {"t5": [1, 2, 3]})
    (expected,) = sealed_test(ordered, plan_of(ordered, "t5"), made_split, made_frames, weights).finals
    assert found.test_accuracy == expected.test_accuracy


def test_shuffled_test_labels_do_not_change_the_order(weights: Weights, made_split: Split, made_frames: Frames) -> None:
    history, queries = search(), made_split.sealed.queries
    orders, orders_by_test = set(), set()
    for seed in range(6):
        labels = np.random.default_rng(seed).permutation(queries.labels)
        sealed = Sealed(made_split.sealed.exemplars, dataclasses.replace(queries, labels=labels))
        shuffled = dataclasses.replace(made_split, sealed=sealed)
        finals = sealed_test(history, plan_of(history, "t5", "t4", "t3", "t1"), shuffled, made_frames, weights).finals
        orders.add(tuple((f.trial_id, f.seeds) for f in finals))
        by_test = sorted(finals, key=lambda f: -f.test_accuracy.mean)
        orders_by_test.add(tuple(f.trial_id for f in by_test))
    assert orders == {(("t5", (1, 2, 3)), ("t4", (1,)), ("t3", (1, 2)), ("t1", (1,)))}
    assert len(orders_by_test) > 1  # an order by test would have changed


def test_without_a_finished_final_training_there_is_no_test(
    weights: Weights, made_split: Split, made_frames: Frames
) -> None:
    history = history_of(trial("t1", [0.5]))
    with pytest.raises(NothingToTrainError, match="no final training completed"):
        sealed_test(history, plan_of(history, "t1"), made_split, made_frames, weights)


def test_predict_names_the_class_of_the_nearest_exemplar(
    made_set: PreparedSet, made_split: Split, made_frames: Frames
) -> None:
    way = Matching("raw_1nn", made_set.layout, CONFIG.normalize)
    sealed = made_split.sealed
    found = predict(way, sealed, made_frames)
    distances = way.between(View(made_frames, sealed.exemplars), View(made_frames, sealed.queries)).numpy()
    assert found.tolist() == [min(range(20), key=lambda c: distances[c, q]) for q in range(80)]
    # Exemplars as queries are themselves.
    itself = predict(way, Sealed(sealed.exemplars, sealed.exemplars), made_frames)
    assert itself.tolist() == list(range(20))


def test_trained_weights_are_loaded_without_fetching_pretrained_ones(
    made_set: PreparedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = {"name": "resnet18", "embedding_dim": 4, "resnet18": {"weights": "none"}}
    config = trial_config(encoder=encoder)
    network = initialised(config.encoder, image_shape(config.representation, made_set.layout), 3)
    pretrained = trial_config(encoder={**encoder, "resnet18": {"weights": "imagenet"}})
    monkeypatch.setattr(
        "sldml.embedding.encoders.torchvision_networks.imagenet_state", lambda name: pytest.fail("weights are fetched")
    )
    matching = trained_matching(pretrained, network.state_dict(), made_set.layout)
    assert matching.encoder is not None
    assert torch.equal(matching.encoder.projection.weight, network.projection.weight)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------ what a worker trains


def test_a_worker_trains_final_models_on_all_auxiliary_recordings_for_the_planned_epochs(
    made_set: PreparedSet, made_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sldml.search import trainable

    given: dict[str, Any] = {}

    def run_final(config: TrialConfig, num_epochs: int, train: Any, *others: Any, **options: Any) -> None:
        given.update(config=config, num_epochs=num_epochs, train=train)

    monkeypatch.setattr(trainable, "run_final", run_final)
    (tmp_path / "journal.jsonl").touch()
    job = trainable.Job(str(tmp_path), str(made_set.folder), None, made_split.development, threads=1)
    (final,) = plan_finals([trial("t1", [0.1, 0.4])], 1, 1)
    trainable.train_final({"final": final}, job)
    assert (given["config"].seed, given["num_epochs"]) == (1, 3)
    development = made_split.development
    assert sorted(given["train"].names) == sorted((*development.train.names, *development.validation.names))


def test_no_fold_tells_anything_of_novel_classes() -> None:
    split = make_split(NtuOneShot(num_auxiliary=20), NTU)
    for repeat in (1, 2, 3):
        assert_tells_nothing_of(split, scored_folds(split.development, 5, repeat))


def fold_of(repeat: int, fold: int, num_folds: int = 4) -> FoldTraining:
    return FoldTraining("t1", {**CONFIG.to_dict(), "seed": 5}, 2, num_folds, repeat, fold)


@pytest.mark.parametrize(("repeat", "fold"), [(1, 1), (1, 3), (2, 1)])
def test_a_worker_trains_a_fold_of_the_classes(
    repeat: int, fold: int, made_set: PreparedSet, made_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sldml.search import trainable

    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(trainable.tune, "report", reports.append)
    (tmp_path / "journal.jsonl").touch()
    job = trainable.Job(str(tmp_path), str(made_set.folder), None, made_split.development, threads=1)
    planned = fold_of(repeat, fold)
    trainable.train({"fold": planned}, job)
    assert [r["state"] for r in reports] == ["running", "completed"]
    expected: list[dict[str, Any]] = []
    run_fold(
        TrialConfig.model_validate(planned.config),
        2,
        scored_folds(made_split.development, 4, repeat)[fold - 1],
        Frames.open(made_set.folder, torch.device("cpu")),
        report=expected.append,
        checkpoint=CheckpointFile(str(tmp_path / "other")),
    )
    assert [without_times(r) for r in reports] == [without_times(r) for r in expected]
    saved = torch.load(tmp_path / "folds" / "t1-4" / f"{repeat}-{fold}" / "last.pt", weights_only=True)
    assert set(saved) == ({"history", "encoder"} if (repeat, fold) == (1, 1) else {"history"})
    if (repeat, fold) == (1, 1):
        trained_matching(CONFIG, fold_weights(tmp_path, "t1", 4), made_set.layout)
    else:
        with pytest.raises(FileNotFoundError, match="t1 on the first class fold"):
            fold_weights(tmp_path, "t1", 4)
    again: list[dict[str, Any]] = []
    monkeypatch.setattr(trainable.tune, "report", again.append)
    trainable.train({"fold": planned}, job)
    assert again == reports, "a fold whose end was lost is not trained again"


def test_a_worker_scores_a_candidate_on_a_fold(
    made_set: PreparedSet, made_split: Split, made_frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sldml.search import trainable

    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(trainable.tune, "report", reports.append)
    (tmp_path / "journal.jsonl").touch()
    job = trainable.Job(str(tmp_path), str(made_set.folder), None, made_split.development, threads=1)
    candidate = Candidate(baseline="dtw_1nn", normalize=CONFIG.normalize.model_dump())
    scoring = FoldScoring(candidate, "dtw_1nn", CONFIG.evaluation, 4, repeat=2, fold=3)
    trainable.train({"scoring": scoring}, job)
    view = View(made_frames, scored_folds(made_split.development, 4, 2)[2].validation)
    distances = Matching("dtw_1nn", made_set.layout, CONFIG.normalize).between(view, view)
    draws = exemplar_draws(view.labels, CONFIG.evaluation.num_draws, CONFIG.evaluation.seed)
    expected = score_distances(distances, view.labels, draws).mean
    assert reports[-1] == {"epoch": 1, "state": "completed", "val/accuracy": pytest.approx(expected)}
    reports.clear()
    wrong = dataclasses.replace(scoring, candidate=candidate.model_copy(update={"normalize": {"center": "nowhere"}}))
    trainable.train({"scoring": wrong}, job)
    assert reports[0]["state"] == "failed"
