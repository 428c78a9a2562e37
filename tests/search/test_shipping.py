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
    BaselineScore,
    Candidate,
    FinalResult,
    FoldTable,
    History,
    TestResults,
)
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.folds import scored_folds
from sldml.protocols.split import Split
from sldml.recognition.baselines import UNTRAINED_SEEDS, initialised
from sldml.recognition.matching import Matching
from sldml.recognition.one_shot import exemplar_draws, paired_ci95
from sldml.recognition.recognizer import Recognizer, calibrate
from sldml.search.choice import ShippingDecision
from sldml.search.final import predict, trained_matching
from sldml.search.shipping import ship

CONFIG = trial_config(normalize={"center": "first_frame"})
FREE_NORMALIZATION = NormalizeConfig(view="face_camera")
SEEDS = {"final": 11, "other final": 12, "fold": 13, "second": 14, "second fold": 15, "trial": 16}
FOLDS = FoldTable(num_folds=2, num_scored=8, ending="all repeats are done", rows=())


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


def trained(trial_id: str = "t1", **chances: float) -> ShippingDecision:
    """The decision for a configuration, against DTW."""
    return ShippingDecision(trial_id, candidate("dtw_1nn", FREE_NORMALIZATION), "it is best", folds=FOLDS, **chances)


def free(name: str, **chances: float) -> ShippingDecision:
    """The decision for a baseline."""
    return ShippingDecision(None, candidate(name, FREE_NORMALIZATION), "nothing is better", folds=FOLDS, **chances)


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
    def run(decision: ShippingDecision, config: TrialConfig = CONFIG) -> TestResults:
        def load_final(trial_id: str, seed: int) -> Mapping[str, Any]:
            return state({("t1", 4): "final", ("t2", 4): "second"}.get((trial_id, seed), "other final"))

        return ship(
            tmp_path / "model",
            history(raw_1nn=0.5, dtw_1nn=0.6, untrained=0.4),
            results(0.61, config),
            decision,
            split=made_split,
            frames=made_frames,
            data=config.data,
            load_final=load_final,
            load_fold=lambda trial_id, num_folds: state(
                "fold" if (trial_id, num_folds) == ("t1", 2) else "second fold"
            ),
            load_trial=lambda trial_id: state("trial"),
            search_name="demo-1",
        )

    return run


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


def threshold(matching: Matching, unseen: View) -> float:
    """From recordings of classes that a model has not seen."""
    draws = exemplar_draws(unseen.labels, CONFIG.evaluation.num_draws, CONFIG.evaluation.seed)
    return calibrate(matching.between(unseen, unseen), unseen.labels, draws).threshold


@pytest.mark.parametrize(("trial_id", "final", "fold"), [("t1", "final", "fold"), ("t2", "second", "second fold")])
def test_the_first_seed_of_the_chosen_configuration_ships(
    trial_id: str,
    final: str,
    fold: str,
    send: Any,
    state: Any,
    made_set: PreparedSet,
    made_split: Split,
    made_frames: Frames,
    tmp_path: Path,
) -> None:
    outcome = send(trained(trial_id, better_than_default=0.9, better_than_baseline=0.98))
    shipped = outcome.shipped
    assert (shipped.kind, shipped.trial_id, shipped.seed) == ("trained", trial_id, 4)
    assert (shipped.reason, outcome.folds) == ("it is best", FOLDS)
    assert (shipped.better_than_default, shipped.better_than_baseline) == (0.9, 0.98)
    expected = trained_matching(CONFIG, state(final), made_set.layout)
    model = check(outcome, expected, tmp_path, made_split, made_frames)
    assert model.encoder_config == CONFIG.encoder
    # Its threshold comes from the model of the first fold, which has not seen the classes of that fold.
    first = View(made_frames, scored_folds(made_split.development, 2)[0].validation)
    unseen = trained_matching(CONFIG, state(fold), made_set.layout)
    assert model.threshold == pytest.approx(threshold(unseen, first))
    assert model.threshold != pytest.approx(threshold(expected, first))


def test_the_threshold_comes_from_the_trial_where_folds_have_two_classes(
    send: Any, state: Any, made_set: PreparedSet, made_split: Split, made_frames: Frames, tmp_path: Path
) -> None:
    send(dataclasses.replace(trained(), folds=FOLDS.model_copy(update={"num_folds": 4})))
    model = Recognizer.load(tmp_path / "model")
    own = trained_matching(CONFIG, state("trial"), made_set.layout)
    expected = threshold(own, View(made_frames, made_split.development.validation))
    assert model.threshold == pytest.approx(expected)
    assert expected < 1.0


@pytest.mark.parametrize("name", ["raw_1nn", "dtw_1nn", "untrained"])
def test_a_baseline_that_was_chosen_ships(
    name: str, send: Any, made_set: PreparedSet, made_split: Split, made_frames: Frames, tmp_path: Path
) -> None:
    outcome = send(free(name, better_than_default=0.7))
    assert outcome.shipped.kind == "training_free"
    assert outcome.shipped.candidate == candidate(name, FREE_NORMALIZATION)
    assert (outcome.shipped.better_than_default, outcome.shipped.better_than_baseline) == (0.7, None)
    assert outcome.against is None
    if name == "untrained":
        network = initialised(CONFIG.encoder, image_shape(CONFIG.representation, made_set.layout), UNTRAINED_SEEDS[0])
        expected = Matching("encoder", made_set.layout, FREE_NORMALIZATION, CONFIG.representation, network)
    else:
        expected = Matching(name, made_set.layout, FREE_NORMALIZATION)  # type: ignore[arg-type]
    model = check(outcome, expected, tmp_path, made_split, made_frames)
    assert model.matching.kind == expected.kind
    # It has seen none of the development classes.
    assert model.threshold == pytest.approx(threshold(expected, View(made_frames, made_split.development.merged())))
    first = View(made_frames, scored_folds(made_split.development, 2)[0].validation)
    assert model.threshold != pytest.approx(threshold(expected, first))


def test_a_trained_model_is_compared_with_the_best_candidate_query_by_query(
    send: Any, state: Any, made_set: PreparedSet, made_split: Split, made_frames: Frames, tmp_path: Path
) -> None:
    outcome = send(trained())
    found, sealed = outcome.against, made_split.sealed
    assert found.candidate == candidate("dtw_1nn", FREE_NORMALIZATION)
    recorded = Recognizer.load(tmp_path / "model").origin["best_baseline"]  # for later evaluations
    assert Candidate.model_validate(recorded) == found.candidate
    own = predict(trained_matching(CONFIG, state("final"), made_set.layout), sealed, made_frames)
    other = predict(Matching("dtw_1nn", made_set.layout, FREE_NORMALIZATION), sealed, made_frames)
    own, other = own == sealed.queries.labels, other == sealed.queries.labels
    assert found.accuracy == pytest.approx(other.mean())
    assert found.difference == pytest.approx(own.mean() - other.mean())
    assert found.difference == pytest.approx(outcome.shipped.accuracy - found.accuracy)
    assert found.over_queries == pytest.approx(paired_ci95(own.astype(float), other.astype(float))[1])
    classes = range(len(sealed.exemplars.classes))
    shares = [[right[sealed.queries.labels == c].mean() for c in classes] for right in (own, other)]
    assert found.over_classes == pytest.approx(paired_ci95(*shares)[1])


def test_without_the_checkpoint_of_the_first_fold_nothing_is_unknown(
    made_split: Split, made_frames: Frames, tmp_path: Path, state: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(trial_id: str, num_folds: int) -> Any:
        raise FileNotFoundError(f"the checkpoint of {trial_id} is missing or damaged in the folder of the search")

    outcome = ship(
        tmp_path / "model",
        history(raw_1nn=0.5, dtw_1nn=0.6),
        results(0.99),
        trained(),
        split=made_split,
        frames=made_frames,
        data=CONFIG.data,
        load_final=lambda trial_id, seed: state("final"),
        load_fold=missing,
        load_trial=lambda trial_id: state("trial"),
        search_name="demo-1",
    )
    assert outcome.shipped is not None
    assert outcome.shipped.threshold == 1.0
    assert "the checkpoint of t1 is missing or damaged" in caplog.text
