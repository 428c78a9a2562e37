"""Where a search is: what runs, the best so far, and estimates against values computed by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from support.made_history import epoch as epoch_report

from sldml.commands.board import Beside, Board, BoardRow, new_row
from sldml.journal import Event, History, TrialEnded, TrialEpoch, TrialStarted

CONFIG = {
    "loss": {"name": "sup_con"},
    "miner": {"name": "none"},
    "encoder": {"name": "small_cnn"},
    "optimizer": {"lr": 1e-3},
    "train": {"max_epochs": 12},
}


def begin(board: Board, name: str, now: float = 0.0) -> None:
    board.start(new_row(name, CONFIG, now))


def report(board: Board, name: str, epoch: int, now: float, best: float = 0.5, **metrics: Any) -> None:
    board.epoch(name, epoch_report(epoch, best, time=now, **metrics))


def board_of_pruned(num_slots: int = 1, **settings: Any) -> Board:
    return Board("trials", 10, 0.0, num_slots=num_slots, max_epochs=12, **settings)


def run_to(board: Board, name: str, epochs: int, state: str, now: float) -> None:
    begin(board, name, now)
    for epoch in range(1, epochs + 1):
        report(board, name, epoch, now + epoch)
    board.end(name, state)


def history_with(*events: Event) -> History:
    history = History()
    for event in events:
        history.apply(event)
    return history


def test_a_row_follows_its_trial():
    board = board_of_pruned()
    begin(board, "t1", 3.0)
    assert board.running["t1"] == BoardRow("t1", 12, "sup_con / none / small_cnn", 1e-3, 3.0)
    board.epoch("t1", epoch_report(1, 0.5, time=5.0, images_per_s=800.0))
    board.epoch("t1", epoch_report(2, 0.5, time=6.0, images_per_s=900.0, **{"val/accuracy": 0.25}))
    row = board.running["t1"]
    assert (row.epoch, row.value, row.images_per_s) == (2, 0.25, 900.0)
    board.end("t1", "pruned")
    assert not board.running
    assert board.ended == {"pruned": 1}
    assert [(r.name, r.value, r.state) for r in board.best] == [("t1", 0.25, "pruned")]


def test_a_trial_that_diverges_gives_its_place_to_the_next():
    board = board_of_pruned(num_slots=2)
    for name, best in (("t1", 0.4), ("t2", 0.3), ("t3", 0.2)):
        begin(board, name)
        report(board, name, 1, 1.0, best)
        board.end(name, "completed")
    for name, best in (("t4", 0.9), ("t5", 0.8)):
        begin(board, name)
        report(board, name, 1, 2.0, best)
    assert [row.name for row in board.best] == ["t4", "t5", "t1"]
    board.end("t4", "diverged")
    board.end("t5", "failed")
    assert [row.name for row in board.best] == ["t1", "t2", "t3"]


def test_the_trial_that_was_trained_for_longer_comes_first_then_the_earlier_one():
    board = board_of_pruned()
    for name, epochs in (("t1", 1), ("t3", 2), ("t2", 2)):
        run_to(board, name, epochs, "pruned", 0.0)
    assert [row.name for row in board.best] == ["t2", "t3", "t1"]


def test_the_pace_begins_with_the_first_epoch_not_with_the_start_of_workers():
    board = board_of_pruned()
    begin(board, "t1", 10.0)
    assert board.epochs_per_s(20.0) is None
    report(board, "t1", 1, 30.0, **{"time/data_s": 1.0, "time/step_s": 2.0, "time/evaluation_s": 1.0})
    report(board, "t1", 2, 34.0)
    assert board.epochs_per_s(34.0) == pytest.approx(2 / 8)  # two epochs since 26
    assert board.epochs_per_s(42.0) == pytest.approx(2 / 16)  # and none for a while


def test_the_pace_is_that_of_the_last_epochs():
    board = board_of_pruned()
    begin(board, "t1")
    for epoch in range(1, 401):
        report(board, "t1", epoch, float(epoch))
    for epoch in range(401, 701):
        report(board, "t1", epoch, 400.0 + (epoch - 400) * 0.5)
    assert board.epochs_per_s(550.0) == pytest.approx(2.0)


def test_nobody_knows_what_is_left_before_some_have_ended():
    board = board_of_pruned(num_slots=3)
    assert board.seconds_left(1.0) is None
    for number in range(2):
        run_to(board, f"t{number}", 4, "pruned", 0.0)
        assert board.epochs_left() is None, "three run at once, so that three must have ended"
    run_to(board, "t2", 4, "pruned", 0.0)
    assert board.epochs_left() == pytest.approx(7 * 4)


def test_what_is_left_under_a_scheduler_is_what_trials_took_so_far():
    board = board_of_pruned()
    run_to(board, "t0", 4, "pruned", 0.0)
    run_to(board, "t1", 4, "pruned", 0.0)
    run_to(board, "t2", 10, "completed", 0.0)
    begin(board, "t3")
    report(board, "t3", 2, 11.0)  # as long as those beyond 2 epochs: 6 on average, 4 more
    begin(board, "t4")
    for epoch in range(1, 6):
        report(board, "t4", epoch, 12.0)  # only t2 came further: 5 more
    begin(board, "t5")
    for epoch in range(1, 12):
        report(board, "t5", epoch, 13.0)  # nobody came so far: 1 more to the last
    assert board.epochs_left() == pytest.approx(4 * 6 + 4 + 5 + 1)


def test_what_is_left_is_known_where_all_run_to_the_end():
    board = Board.of_trials(History(), 3, 0.0, planned_epochs=36, max_epochs=12)
    begin(board, "t1")
    report(board, "t1", 1, 2.0, **{"time/step_s": 2.0})
    assert board.epochs_left() == 35
    assert board.seconds_left(2.0) == pytest.approx(70.0)
    board.end("t1", "diverged")
    assert board.epochs_left() == 24, "what diverged trains no more"


def test_the_time_left_ends_with_the_budget():
    board = Board.of_trials(History(), 3, 0.0, planned_epochs=36, max_epochs=12)
    board.deadline = 30.0
    assert board.seconds_left(10.0) == 20.0, "no epoch yet, but the budget ends everything"
    begin(board, "t1")
    report(board, "t1", 1, 10.0, **{"time/step_s": 10.0})
    assert board.seconds_left(10.0) == 20.0
    assert board.seconds_left(31.0) == 0.0


def test_the_last_training_does_not_get_faster_by_free_slots():
    board = Board("final models", 4, 0.0, planned_epochs=16, num_slots=4)
    for seed in range(4):
        board.start(new_row(f"t1 seed {seed}", CONFIG, 0.0, 4))
        for epoch in range(1, 5 if seed else 3):
            report(board, f"t1 seed {seed}", epoch, 5.0 * epoch)
        if seed:
            board.end(f"t1 seed {seed}", "completed")
    assert board.epochs_left() == 2
    assert board.seconds_left(20.0) == pytest.approx(20.0)  # its two took 20 s; all together did 14 meanwhile


def test_a_search_that_goes_on_knows_what_was_done():
    history = history_with(
        TrialStarted(trial_id="t1", params={}, config=CONFIG, time=5.0),
        TrialEpoch(trial_id="t1", **epoch_report(1, 0.5, time=5.0).model_dump()),
        TrialEnded(trial_id="t1", state="pruned", time=5.0),
        TrialStarted(trial_id="t2", params={}, config=CONFIG, time=5.0),
        TrialEpoch(trial_id="t2", **epoch_report(1, 0.75, time=5.0).model_dump()),
    )
    board = Board.of_trials(history, 4, 100.0, max_epochs=12)
    assert (board.num_ended, board.total, board.running) == (1, 4, {})
    assert [row.name for row in board.best] == ["t2", "t1"]
    fixed = Board.of_trials(history, 4, 100.0, planned_epochs=48, max_epochs=12)
    assert fixed.epochs_left() == 48 - 1 - 12  # t2's epoch is done; t1 trains no more


def test_a_paused_trial_counts_as_such_until_it_continues():
    board = Board.of_trials(History(), 3, 0.0, planned_epochs=20, promotes=True, max_epochs=12)
    for name in ("t1", "t2"):
        run_to(board, name, 2, "paused", 0.0)
    assert (board.ended["paused"], board.num_ended, board.epochs_left()) == (2, 2, 16)
    board.start(dataclasses.replace(new_row("t1", CONFIG, 5.0), epoch=2, start_epoch=2))
    report(board, "t1", 3, 6.0)
    assert (board.ended["paused"], board.num_ended, board.epochs_left()) == (1, 1, 15)
    board.end("t1", "completed")
    board.end("t2", "pruned")
    assert board.ended == {"paused": 0, "completed": 1, "pruned": 1}
    assert board.epochs_left() == 15, "the plan knows that some do not continue"


def test_epochs_that_are_trained_again_count_once():
    board = Board("trials", 1, 0.0, planned_epochs=12)
    begin(board, "t1")
    for epoch in (1, 2, 2, 3):
        report(board, "t1", epoch, float(epoch))
    assert board.epochs_left() == 9


def test_trials_on_other_machines_are_noticed():
    board = board_of_pruned()
    begin(board, "t1")
    report(board, "t1", 1, 1.0)
    assert not board.elsewhere
    report(board, "t1", 2, 2.0, worker="another.example:17")
    assert board.elsewhere


def test_the_time_of_later_steps_is_part_of_what_is_left():
    board = Board("final models", 2, 0.0, planned_epochs=8, num_slots=1)
    begin(board, "t1")
    for epoch in (1, 2):
        report(board, "t1", epoch, 10.0 * epoch, **{"time/step_s": 10.0})
    assert board.seconds_left(20.0) == pytest.approx(max(60.0, 100.0))  # the training is 12 epochs long
    board.later_epochs = 5
    assert board.seconds_left(20.0) == pytest.approx(100.0 + 50.0)
    board.deadline = 100.0
    assert board.seconds_left(20.0) == 80.0


def test_other_work_beside_the_trainings_may_take_longer():
    board = Board("trials", 1, 0.0, planned_epochs=12)
    begin(board, "t1")
    report(board, "t1", 1, 10.0, **{"time/step_s": 10.0})
    assert board.seconds_left(10.0) == pytest.approx(110.0)
    board.beside = Beside("baselines", 10, 40, 0.0, 10)
    assert board.beside.seconds_left(10.0) == 0.0, "none is done in this call: unknown"
    assert board.seconds_left(10.0) == pytest.approx(110.0)
    board.beside = Beside("baselines", 11, 40, 0.0, 10)
    assert board.seconds_left(10.0) == pytest.approx(29 * 10.0)
