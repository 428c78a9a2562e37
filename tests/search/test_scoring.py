"""The baselines as work for the processes of a search."""

from __future__ import annotations

from support.made_history import candidate

from sldml.config.training import EvaluationConfig
from sldml.journal import BaselineScore, BaselinesScored, History
from sldml.search.scoring import missing_scorings, num_scored

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
