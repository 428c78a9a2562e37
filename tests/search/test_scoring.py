"""The baselines as work for the processes of a search."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
from support.made_history import candidate, search_begun
from support.small import trial_config

from sldml.commands.progress import ProgressPrinter
from sldml.config.representation import NormalizeConfig
from sldml.config.training import EvaluationConfig
from sldml.journal import BaselineScore, BaselinesScored, History, Journal
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Split
from sldml.recognition.baselines import BaselineScorer, validate
from sldml.search import pool as pool_module
from sldml.search.beside import Baselines
from sldml.search.cluster import Slots, connected
from sldml.search.pool import Pool
from sldml.search.recorder import Recorder
from sldml.search.scoring import missing_scorings, num_scored
from sldml.search.trainable import Job

CENTERS = ("none", "every_frame")
CANDIDATES = [candidate(name, center=center) for name in ("raw_1nn", "dtw_1nn") for center in CENTERS]
EVALUATION = EvaluationConfig(num_draws=20)


def scored(*places: int) -> BaselinesScored:
    return BaselinesScored(scores=[BaselineScore(candidate=CANDIDATES[p], place=p, val=0.5) for p in places])


def test_candidates_without_a_score_are_grouped_by_what_they_share() -> None:
    history = History()
    scorings = missing_scorings(CANDIDATES, history, EVALUATION)
    assert [scoring.places for scoring in scorings] == [(0, 2), (1, 3)]
    assert [scoring.candidates for scoring in scorings] == [
        (CANDIDATES[0], CANDIDATES[2]), (CANDIDATES[1], CANDIDATES[3]),
    ]  # fmt: skip
    assert {scoring.evaluation for scoring in scorings} == {EVALUATION}
    assert scorings[0].name == "baselines raw_1nn, dtw_1nn (candidates 1, 3)"


def test_what_the_journal_has_is_not_scored_again() -> None:
    history = History()
    history.apply(scored(0, 2, 3))
    assert [scoring.places for scoring in missing_scorings(CANDIDATES, history, EVALUATION)] == [(1,)]
    assert num_scored(history) == 3
    history.apply(scored(1))
    assert missing_scorings(CANDIDATES, history, EVALUATION) == []


def killed_once(config: dict[str, Any], job: tuple[bytes, str]) -> None:
    """What a worker does; the process that is the first to score baselines is killed."""
    from sldml.search import trainable

    happened = Path(job[1])
    if "baselines" in config and not happened.exists():
        happened.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    trainable.train(config, pickle.loads(job[0]))


@pytest.mark.verify
def test_processes_score_what_the_driver_would_also_if_one_is_killed(
    tmp_path: Path,
    made_set: PreparedSet,
    made_split: Split,
    made_frames: Frames,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker cannot import it
    monkeypatch.setattr(pool_module, "train", killed_once)
    config = trial_config()
    normalizations = [NormalizeConfig(), NormalizeConfig(center="first_frame", view="face_camera")]
    scorer = BaselineScorer(
        made_frames,
        normalizations=normalizations,
        encoders=[config.encoder],
        representations=[config.representation],
    )
    printer = ProgressPrinter()
    recorder = Recorder(Journal(tmp_path / "search" / "journal.jsonl"), History(), printer)
    recorder.record(search_begun())
    job: Any = Job(str(tmp_path / "search"), str(made_set.folder), None, made_split.development, 1)
    scoring = Baselines(scorer.candidates(), EVALUATION, recorder, printer)
    with connected(None), Pool((pickle.dumps(job), str(tmp_path / "killed")), Slots(2, 1.0, 0.0), print) as pool:  # type: ignore[arg-type]
        pool.run(scoring.stage())
    assert (tmp_path / "killed").exists()
    assert "is tried again: its process crashed or was killed" in capsys.readouterr().out
    expected = validate(made_frames, scorer.candidates(), made_split.development, EVALUATION)
    found = [score for baseline in recorder.history.baselines.values() for score in baseline.scores]
    assert [score.candidate for score in found] == [score.candidate for score in expected]
    assert [score.place for score in found] == list(range(len(expected)))
    for one, other in zip(found, expected, strict=True):
        assert one.val == pytest.approx(other.val, abs=1e-6)
        assert one.queries_per_class == other.queries_per_class
    assert len(recorder.history.scorings) == 4, "each group once"
    assert all(event.worker and event.seconds > 0 for event in recorder.history.scorings)
