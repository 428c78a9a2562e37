import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from support.made_history import search_begun
from support.small import trial_config

from sldml.config.representation import NormalizeConfig
from sldml.config.trial import TrialConfig
from sldml.embedding.images import image_shape
from sldml.embedding.view import View
from sldml.journal import (
    Accuracy,
    Baseline,
    BaselineFoldsScored,
    BaselineScore,
    Candidate,
    CandidateFolds,
    FinalResult,
    FoldsScored,
    History,
    TestResults,
)
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.folds import fold_developments
from sldml.protocols.split import Split
from sldml.recognition.baselines import UNTRAINED_SEEDS, initialised
from sldml.recognition.matching import Matching
from sldml.recognition.one_shot import exemplar_draws, paired_ci95
from sldml.recognition.recognizer import Recognizer, calibrate
from sldml.search import choice
from sldml.search.final import predict, trained_matching
from sldml.search.shipping import ship

CONFIG = trial_config(normalize={"center": "first_frame"})
FREE_NORMALIZATION = NormalizeConfig(view="face_camera")
FOLD_NORMALIZATION = NormalizeConfig(center="every_frame", scale="none")
SEEDS = {"final": 11, "other final": 12, "trial": 13, "second": 14, "second trial": 15}


@pytest.fixture
def state(made_set: PreparedSet) -> Any:
    shape = image_shape(CONFIG.representation, made_set.layout)
    return lambda which: initialised(CONFIG.encoder, shape, SEEDS[which]).state_dict()


def history(**values: float) -> History:
    past = History(search_begun(prepared={"hash": "abc"}))
    for name, value in values.items():
        known = BaselineScore(candidate=candidate(name, FREE_NORMALIZATION), val=value)
        past.baselines[name] = Baseline(name, (known,))
    return past


def candidate(name: str, normalization: NormalizeConfig) -> Candidate:
    untrained = name.startswith("untrained")
    return Candidate(
        baseline=name,
        normalize=normalization.model_dump(),
        encoder=CONFIG.encoder.model_dump(exclude_none=True) if untrained else None,
        representation=CONFIG.representation.model_dump() if untrained else None,
    )


def with_test(past: History, test: float) -> History:
    """The history with this accuracy of every baseline on the sealed test."""
    for name, known in past.baselines.items():
        scores = tuple(score.model_copy(update={"test": test}) for score in known.scores)
        past.baselines[name] = Baseline(name, scores)
    return past


def results(val_accuracy: float, config: TrialConfig = CONFIG) -> TestResults:
    """What the sealed test found: the second configuration did far better there."""
    finals = [
        FinalResult(
            trial_id=trial_id,
            config=config.to_dict(),
            seeds=(4, 5),
            num_epochs=3,
            val_accuracy=val,
            test_accuracy=Accuracy(mean=test, ci95=None, values=(test, test)),
            confusions=(),
        )
        for trial_id, val, test in (("t1", val_accuracy, 0.1), ("t2", val_accuracy - 0.1, 0.9))
    ]
    return TestResults(num_queries=80, num_classes=20, num_exemplars=20, finals=finals)


@pytest.fixture
def send(made_split: Split, made_frames: Frames, tmp_path: Path, state: Any) -> Any:
    def run(past: History, val_accuracy: float, config: TrialConfig = CONFIG) -> TestResults:
        def load_final(trial_id: str, seed: int) -> Mapping[str, Any]:
            return state({("t1", 4): "final", ("t2", 4): "second"}.get((trial_id, seed), "other final"))

        return ship(
            tmp_path / "model",
            past,
            results(val_accuracy, config),
            split=made_split,
            frames=made_frames,
            data=config.data,
            load_final=load_final,
            load_trial=lambda trial_id: state("trial" if trial_id == "t1" else "second trial"),
            search_name="demo-1",
        )

    return run


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The made set's few classes count as enough to choose by."""
    monkeypatch.setattr(choice, "FEWEST_CLASSES_TO_TRUST", 8)


def check(outcome: TestResults, expected: Matching, tmp_path: Path, split: Split, frames: Frames) -> Recognizer:
    """The saved model predicts as `expected` does, and what is said of it is what it does."""
    model = Recognizer.load(tmp_path / "model")
    predicted = predict(model.matching, split.sealed, frames)
    assert predicted.tolist() == predict(expected, split.sealed, frames).tolist()
    accuracy = float((predicted == split.sealed.queries.labels).mean())
    assert outcome.shipped is not None
    assert outcome.confusion is not None
    assert outcome.embedding_map is not None
    assert outcome.shipped.accuracy == pytest.approx(accuracy)
    matrix = torch.tensor(outcome.confusion.matrix)
    assert matrix.sum() == len(split.sealed.queries)
    assert matrix.trace() / matrix.sum() == pytest.approx(accuracy)
    assert set(outcome.per_class) == set(split.sealed.exemplars.classes)
    named = [p.named for p in outcome.embedding_map.points if not p.exemplar]
    assert named == [split.sealed.exemplars.classes[c] for c in predicted]
    worst = outcome.confused[0]
    labels = outcome.confusion.labels
    assert worst.count == (matrix - torch.diag(matrix.diagonal())).max()
    assert worst.count == matrix[labels.index(worst.true), labels.index(worst.named)]
    assert model.threshold == outcome.shipped.threshold
    assert model.origin.items() >= {"search": "demo-1", "prepared": "abc"}.items()
    assert TestResults.model_validate_json(outcome.model_dump_json()) == outcome
    return model


def threshold(matching: Matching, split: Split, frames: Frames, *, trained: bool = True) -> float:
    """Of a trained model from validation; one that was not trained has seen none of the development classes."""
    view = View(frames, split.development.validation if trained else split.development.merged())
    draws = exemplar_draws(view.labels, CONFIG.evaluation.num_draws, CONFIG.evaluation.seed)
    return calibrate(matching.between(view, view), view.labels, draws).threshold


@pytest.mark.usefixtures("trusted")
def test_the_first_configurations_first_seed_ships_where_it_is_better_on_validation(
    send: Any, state: Any, made_set: PreparedSet, made_split: Split, made_frames: Frames, tmp_path: Path
) -> None:
    outcome = send(history(raw_1nn=0.5, dtw_1nn=0.6, untrained=0.4), 0.61)
    shipped = outcome.shipped
    assert (shipped.kind, shipped.trial_id, shipped.seed) == ("trained", "t1", 4)
    assert "dtw_1nn: 0.600" in shipped.reason
    expected = trained_matching(CONFIG, state("final"), made_set.layout)
    model = check(outcome, expected, tmp_path, made_split, made_frames)
    assert model.encoder_config == CONFIG.encoder
    # Its threshold comes from weights that have not seen the validation classes.
    unseen = trained_matching(CONFIG, state("trial"), made_set.layout)
    assert model.threshold == pytest.approx(threshold(unseen, made_split, made_frames))
    assert model.threshold != pytest.approx(threshold(expected, made_split, made_frames))


@pytest.mark.usefixtures("trusted")
def test_of_a_trial_over_class_folds_the_first_folds_classes_give_the_threshold(
    send: Any, state: Any, made_set: PreparedSet, made_split: Split, made_frames: Frames, tmp_path: Path
) -> None:
    """It is the first fold's model that the trial keeps; it was trained on classes that the protocol validates on."""
    outcome = send(history(raw_1nn=0.5, dtw_1nn=0.6, untrained=0.4), 0.61, trial_config(
        normalize={"center": "first_frame"}, evaluation={"num_folds": 3}
    ))  # fmt: skip
    first = fold_developments(made_split.development, 3)[0]
    assert set(first.validation.classes) != set(made_split.development.validation.classes)
    unseen = trained_matching(CONFIG, state("trial"), made_set.layout)
    expected = threshold(unseen, dataclasses.replace(made_split, development=first), made_frames)
    assert outcome.shipped.threshold == pytest.approx(expected)
    assert expected != pytest.approx(threshold(unseen, made_split, made_frames))
    assert Recognizer.load(tmp_path / "model").threshold == pytest.approx(expected)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("name", ["raw_1nn", "dtw_1nn", "untrained"])
@pytest.mark.parametrize("val_accuracy", [0.5, 0.7])
def test_a_training_free_way_that_is_as_good_ships_instead(
    name: str,
    val_accuracy: float,
    send: Any,
    made_set: PreparedSet,
    made_split: Split,
    made_frames: Frames,
    tmp_path: Path,
) -> None:
    values = {"raw_1nn": 0.3, "dtw_1nn": 0.3, "untrained": 0.3, name: 0.7}
    outcome = send(history(**values), val_accuracy)
    assert outcome.shipped.kind == "training_free"
    assert outcome.shipped.candidate == candidate(name, FREE_NORMALIZATION)
    assert f"no trained model is better than {name}" in outcome.shipped.reason
    if name == "untrained":
        network = initialised(CONFIG.encoder, image_shape(CONFIG.representation, made_set.layout), UNTRAINED_SEEDS[0])
        expected = Matching("encoder", made_set.layout, FREE_NORMALIZATION, CONFIG.representation, network)
    else:
        expected = Matching(name, made_set.layout, FREE_NORMALIZATION)  # type: ignore[arg-type]
    model = check(outcome, expected, tmp_path, made_split, made_frames)
    assert model.matching.kind == expected.kind
    assert model.threshold == pytest.approx(threshold(expected, made_split, made_frames, trained=False))
    assert model.threshold != pytest.approx(threshold(expected, made_split, made_frames))


@pytest.mark.usefixtures("trusted")
def test_a_trained_model_is_compared_with_the_best_candidate_query_by_query(
    send: Any, state: Any, made_set: PreparedSet, made_split: Split, made_frames: Frames, tmp_path: Path
) -> None:
    outcome = send(history(raw_1nn=0.5, dtw_1nn=0.6, untrained=0.4), 0.61)
    found, sealed = outcome.against, made_split.sealed
    assert found.candidate == candidate("dtw_1nn", FREE_NORMALIZATION)
    recorded = Recognizer.load(tmp_path / "model").origin["best_baseline"]  # for later evaluations
    assert Candidate.model_validate(recorded) == found.candidate
    own = predict(trained_matching(CONFIG, state("final"), made_set.layout), sealed, made_frames)
    free = predict(Matching("dtw_1nn", made_set.layout, FREE_NORMALIZATION), sealed, made_frames)
    own, free = own == sealed.queries.labels, free == sealed.queries.labels
    assert found.accuracy == pytest.approx(free.mean())
    assert found.difference == pytest.approx(own.mean() - free.mean())
    assert found.difference == pytest.approx(outcome.shipped.accuracy - found.accuracy)
    assert found.over_queries == pytest.approx(paired_ci95(own.astype(float), free.astype(float))[1])
    classes = range(len(sealed.exemplars.classes))
    shares = [[right[sealed.queries.labels == c].mean() for c in classes] for right in (own, free)]
    assert found.over_classes == pytest.approx(paired_ci95(*shares)[1])
    assert send(history(raw_1nn=0.5, dtw_1nn=0.6, untrained=0.4), 0.5).against is None


@pytest.mark.usefixtures("trusted")
def test_without_the_trials_checkpoint_nothing_is_unknown(
    made_split: Split, made_frames: Frames, tmp_path: Path, state: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(trial_id: str) -> Any:
        raise FileNotFoundError(f"the checkpoint of {trial_id} is missing or damaged in the folder of the search")

    outcome = ship(
        tmp_path / "model",
        history(raw_1nn=0.5, dtw_1nn=0.6),
        results(0.99),
        split=made_split,
        frames=made_frames,
        data=CONFIG.data,
        load_final=lambda trial_id, seed: state("final"),
        load_trial=missing,
        search_name="demo-1",
    )
    assert outcome.shipped is not None
    assert outcome.shipped.threshold == 1.0
    assert "the checkpoint of t1 is missing or damaged" in caplog.text


@pytest.mark.usefixtures("trusted")
def test_what_ships_does_not_depend_on_the_test(send: Any) -> None:
    past = history(raw_1nn=0.5, dtw_1nn=0.6, untrained=0.4)
    assert send(with_test(past, 1.0), 0.61).shipped.kind == "trained"
    assert send(with_test(past, 0.0), 0.59).shipped.kind == "training_free"


def with_folds(past: History, t1: list[float], t2: list[float], **free: list[float]) -> History:
    """Scores on the four folds of the made set's eight auxiliary classes; of each baseline two normalisations."""
    scores = []
    for name, accuracies in free.items():
        scores.append(CandidateFolds(candidate=candidate(name, FREE_NORMALIZATION), accuracies=[0.1] * 4))
        scores.append(CandidateFolds(candidate=candidate(name, FOLD_NORMALIZATION), accuracies=accuracies))
    past.baseline_folds = BaselineFoldsScored(num_folds=4, scores=scores)
    for trial_id, accuracies in (("t1", t1), ("t2", t2)):
        past.folds[trial_id] = FoldsScored(trial_id=trial_id, num_epochs=3, num_folds=4, accuracies=accuracies)
    return past


def test_with_few_classes_the_best_over_the_folds_ships_if_it_earned_it(
    send: Any, state: Any, made_set: PreparedSet, made_split: Split, made_frames: Frames, tmp_path: Path
) -> None:
    dtw = [0.6, 0.7, 0.5, 0.6]
    past = with_folds(
        history(raw_1nn=0.9, dtw_1nn=0.9), [0.65, 0.7, 0.55, 0.6], [0.8, 0.9, 0.75, 0.8], raw_1nn=[0.4] * 4, dtw_1nn=dtw
    )
    outcome = send(past, 0.61)
    shipped = outcome.shipped
    assert (shipped.kind, shipped.trial_id, shipped.seed) == ("trained", "t2", 4)
    assert "over 4 folds of the 8 auxiliary classes (t2 0.812, best baseline dtw_1nn 0.600; " in shipped.reason
    assert [row.name for row in outcome.folds.rows] == ["dtw_1nn", "raw_1nn", "t2", "t1"]
    expected = trained_matching(CONFIG, state("second"), made_set.layout)
    model = check(outcome, expected, tmp_path, made_split, made_frames)
    unseen = trained_matching(CONFIG, state("second trial"), made_set.layout)
    assert model.threshold == pytest.approx(threshold(unseen, made_split, made_frames))


def test_with_few_classes_and_no_proof_the_way_and_normalisation_best_over_the_folds_ship(
    send: Any, made_set: PreparedSet, made_split: Split, made_frames: Frames, tmp_path: Path
) -> None:
    raw = [0.6, 0.7, 0.5, 0.6]
    past = with_folds(
        history(raw_1nn=0.5, dtw_1nn=0.9), [0.9, 0.7, 0.9, 0.5], [0.1] * 4, raw_1nn=raw, dtw_1nn=[0.5] * 4
    )
    outcome = send(past, 0.99)
    shipped = outcome.shipped
    # Validation preferred another way, another normalisation, and a trained model to both.
    assert shipped.kind == "training_free"
    assert shipped.candidate == candidate("raw_1nn", FOLD_NORMALIZATION)
    assert shipped.reason.startswith(
        "no trained model was significantly better over 4 folds of the 8 auxiliary classes"
    )
    expected = Matching("raw_1nn", made_set.layout, FOLD_NORMALIZATION)
    model = check(outcome, expected, tmp_path, made_split, made_frames)
    assert model.matching.normalize == FOLD_NORMALIZATION
    assert model.threshold == pytest.approx(threshold(expected, made_split, made_frames, trained=False))


def test_what_the_folds_decide_does_not_depend_on_the_test(send: Any) -> None:
    for test in (0.0, 1.0):
        past = with_folds(history(dtw_1nn=0.9), [0.8] * 4, [0.1] * 4, dtw_1nn=[0.6] * 4)
        assert send(with_test(past, test), 0.1).shipped.trial_id == "t1"


def test_validation_without_classes_of_its_own_trusts_no_trained_model(
    made_split: Split, made_frames: Frames, tmp_path: Path, state: Any
) -> None:
    development = dataclasses.replace(made_split.development, measure="map_at_r")
    outcome = ship(
        tmp_path / "model",
        history(raw_1nn=0.5, dtw_1nn=0.6),
        results(0.99),
        split=dataclasses.replace(made_split, development=development),
        frames=made_frames,
        data=CONFIG.data,
        load_final=lambda trial_id, seed: state("final"),
        load_trial=lambda trial_id: state("trial"),
        search_name="demo-1",
    )
    assert outcome.shipped is not None
    assert outcome.shipped.name == "dtw_1nn"
    assert "no separate classes" in outcome.shipped.reason
    assert outcome.folds is None
