"""What a new search begins with: the best of an earlier one, and what its file knows to be good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.made_history import epoch, search_begun

from sldml.commands.request import (
    Request,
    best_of,
    check_request,
    earlier_settings,
    first_configurations,
    search_request,
)
from sldml.config.space import SearchSpace
from sldml.config.space_file import override, parse_space
from sldml.errors import InputError
from sldml.journal import AttemptBegun, History, Journal, TrialEnded, TrialEpoch, TrialStarted
from sldml.search.cluster import Slots
from sldml.search.identity import attempt_begun
from sldml.search.preflight import earlier_history

SPACE = """
space:
  optimizer: {lr: {float: [1.0e-4, 1.0e-1], log: true}}
  loss: {choose: {triplet_margin: {margin: {float: [0.05, 0.5]}}, arcface: {}}}
known_good:
  - {optimizer.lr: 0.002, loss.name: arcface}
  - {loss.name: triplet_margin, loss.triplet_margin.margin: 0.1}
"""


@pytest.fixture
def space() -> SearchSpace:
    return parse_space(SPACE, "toy", "toy.yaml")


def write_search(folder: Path, trials: dict[str, tuple[dict[str, Any], float | None, str]]) -> Path:
    journal = Journal(folder / "journal.jsonl")
    journal.append(search_begun(name=folder.name))
    for trial_id, (params, value, state) in trials.items():
        journal.append(TrialStarted(trial_id=trial_id, params=params, config={}))
        if value is not None:
            journal.append(TrialEpoch(trial_id=trial_id, **epoch(1, value).model_dump()))
        journal.append(TrialEnded(trial_id=trial_id, state=state))
    return folder


def test_the_best_trials_come_first_without_diverged_and_failed_ones(tmp_path: Path) -> None:
    trials = {
        "t0001": ({"optimizer.lr": 0.01}, 0.5, "pruned"),
        "t0002": ({"optimizer.lr": 0.02}, 0.7, "completed"),
        "t0003": ({"optimizer.lr": 0.03}, 0.9, "diverged"),
        "t0004": ({"optimizer.lr": 0.04}, None, "failed"),
        "t0005": ({"optimizer.lr": 0.05}, 0.6, "completed"),
        "t0006": ({"optimizer.lr": 0.06}, 0.95, "failed"),
    }
    folder = write_search(tmp_path / "earlier", trials)
    assert [params["optimizer.lr"] for params in best_of(folder)] == [0.02, 0.05, 0.01]
    assert [params["optimizer.lr"] for params in best_of(folder, 1)] == [0.02]


def test_no_search_and_one_without_a_value_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"other is neither a search in .*: there are no searches"):
        best_of(tmp_path / "other")
    folder = write_search(tmp_path / "empty", {"t0001": ({"optimizer.lr": 0.01}, None, "failed")})
    with pytest.raises(InputError, match="--warm-start empty: no trial of that search has a value to compare"):
        best_of(folder)


@pytest.mark.parametrize("content", [None, "", search_begun(name="early").model_dump_json() + "\n"])
def test_a_search_that_was_killed_before_its_first_attempt_is_begun_again(
    content: str | None, tmp_path: Path, space: SearchSpace
) -> None:
    folder = tmp_path / "early"
    (tmp_path / ".early.lock").touch()
    if content is not None:
        folder.mkdir()
        (folder / "journal.jsonl").write_text(content)
    with pytest.raises(
        InputError, match=r"search early in .* has not started: .* run the command that started it again"
    ):
        earlier_settings(folder)
    request = Request(space, "early", storage=tmp_path, cache=tmp_path / "prepared")
    assert check_request(request).startswith("generated when")
    assert earlier_history(request) == History()


def test_a_search_that_has_begun_is_not_begun_again(tmp_path: Path, space: SearchSpace) -> None:
    request = Request(space, "begun", storage=tmp_path, cache=tmp_path / "prepared")
    begun, journal = search_begun(name="begun"), Journal(request.journal)
    journal.append(begun)
    journal.append(AttemptBegun(settings=begun.settings, slots=1, environment=begun.environment))
    for refuse in (check_request, earlier_history):
        with pytest.raises(InputError, match=r"search begun exists in .*: use --resume or another --name"):
            refuse(request)


def test_what_is_given_comes_before_what_is_known_and_nothing_twice(space: SearchSpace) -> None:
    earlier = [
        {"optimizer.lr": 0.01, "loss.name": "arcface", "augment.noise": 0.1},
        {"optimizer.lr": 0.9, "loss.name": "arcface"},  # out of this space's range
        {"optimizer.lr": 0.002, "loss.name": "arcface"},
    ]
    assert first_configurations(space, earlier) == [
        {"optimizer.lr": 0.01, "loss.name": "arcface"},
        {"optimizer.lr": 0.002, "loss.name": "arcface"},
        {"loss.name": "triplet_margin", "loss.triplet_margin.margin": 0.1},
    ]


def test_what_is_fixed_leaves_out_what_is_known(space: SearchSpace) -> None:
    assert first_configurations(override(space, ["loss.name=triplet_margin"]), []) == [
        {"loss.triplet_margin.margin": 0.1}  # its name is no longer searched
    ]


# ------------------------------------------------------------------------------------------------ options of a resumed


GIVEN = {
    "final": False,
    "concurrent": 1,
    "cpus_per_trial": 2.0,
    "gpus_per_trial": 0.5,
    "strict": True,
    "address": "auto",
    "tracking_uri": "http://host:5000",
}


def write_attempt(request: Request, **changes: Any) -> None:
    """What a call leaves in the journal when it begins."""
    begun, journal = search_begun(name=request.name), Journal(request.journal)
    journal.append(begun)
    attempt = attempt_begun(request, Slots(1, 1.0, 0.0))
    journal.append(attempt.model_copy(update={"settings": begun.settings, **changes}))
    journal.close()


def options(request: Request) -> dict[str, Any]:
    return {name: getattr(request, name) for name in GIVEN}


def test_a_resumed_search_keeps_the_options_of_the_last_call(tmp_path: Path, clean_environment: None) -> None:
    first = search_request("demo", command="", name="one", storage=str(tmp_path), **GIVEN)
    assert options(first) == GIVEN
    write_attempt(first)
    again = search_request(None, command="", resume="one", storage=str(tmp_path))
    assert options(again) == GIVEN
    assert again.space_given == "demo"
    assert again.time_budget_s is None
    given: dict[str, Any] = {"final": True, "concurrent": 3, "cpus_per_trial": 1.0, "gpus_per_trial": 0.0}
    given |= {"strict": False, "address": "host:1", "tracking_uri": f"sqlite:///{tmp_path}/other.db"}
    changed = search_request(None, command="", resume="one", storage=str(tmp_path), **given)
    assert options(changed) == given


def test_a_model_is_still_registered_after_a_resumption(tmp_path: Path, clean_environment: None) -> None:
    first = search_request("demo", command="", name="one", storage=str(tmp_path), register="gestures")
    write_attempt(first)
    assert search_request(None, command="", resume="one", storage=str(tmp_path)).register == "gestures"
    assert search_request(None, command="", resume="one", storage=str(tmp_path), register="b").register == "b"
    assert search_request(None, command="", resume="one", storage=str(tmp_path), final=False).register is None


def test_a_journal_without_options_has_the_defaults(tmp_path: Path, clean_environment: None) -> None:
    first = search_request("demo", command="", name="one", storage=str(tmp_path))
    write_attempt(first)
    lines = [json.loads(line) for line in first.journal.read_text().splitlines()]
    assert lines[1].pop("options")["final"] is True
    first.journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    again = search_request(None, command="", resume="one", storage=str(tmp_path))
    assert (again.final, again.concurrent, again.strict, again.tracking_uri) == (True, None, False, None)


def test_a_store_whose_secret_was_hidden_has_to_be_given_again(tmp_path: Path, clean_environment: None) -> None:
    uri = "postgresql://me:planted@host/runs"
    write_attempt(search_request("demo", command="", name="one", storage=str(tmp_path), tracking_uri=uri))
    assert "planted" not in (tmp_path / "one" / "journal.jsonl").read_text()
    with pytest.raises(InputError, match=r"one is tracked to postgresql://me:\*\*\*@host/runs: give --tracking-uri"):
        search_request(None, command="", resume="one", storage=str(tmp_path))
    again = search_request(None, command="", resume="one", storage=str(tmp_path), tracking_uri=uri)
    assert again.tracking_uri == uri
