"""Progress: plain lines where there is no terminal, one line that changes where there is one."""

from __future__ import annotations

import io
import re

import pytest
from support.made_history import candidate, epoch

from sldml.commands.live import LiveConsole
from sldml.commands.progress import ProgressPrinter
from sldml.config.trial import TrialConfig
from sldml.journal import (
    BaselinesScored,
    Event,
    FinalEnded,
    FinalEpoch,
    FinalStarted,
    FoldScored,
    History,
    LeftOut,
    StageChanged,
    TrialEnded,
    TrialEpoch,
    TrialPaused,
    TrialStarted,
)
from sldml.search.final import FinalTraining, FoldTraining
from sldml.search.steps import Step

STEPS = [
    Step("data", "data"), Step("search", "trials and baselines"), Step("test", "sealed test"), Step("report", "report")
]  # fmt: skip
CONFIG = TrialConfig.model_validate(
    {"loss": {"name": "sup_con"}, "miner": {"name": "batch_hard"}, "optimizer": {"lr": 3e-4}}
).to_dict()


class Watched:
    """A printer and the history it is told with."""

    def __init__(self, terminal: bool = False, width: int = 40) -> None:
        self.file = io.StringIO()
        console = LiveConsole(file=self.file, force_terminal=terminal, width=width, highlight=False, soft_wrap=True)
        self.printer = ProgressPrinter(console)
        self.history = History()

    def tell(self, event: Event) -> None:
        self.history.apply(event)
        self.printer.happened(event, self.history)

    def start_trial(self, trial_id: str, time: float) -> None:
        self.tell(TrialStarted(trial_id=trial_id, params={}, config=CONFIG, time=time))

    def report(self, trial_id: str, number: int, best: float, time: float) -> None:
        self.tell(TrialEpoch(trial_id=trial_id, **epoch(number, best, time=time, **{"time/step_s": 4.0}).model_dump()))

    def run_trial(self, trial_id: str, state: str, *values: float, error: str | None = None) -> None:
        self.start_trial(trial_id, 100.0)
        for number, value in enumerate(values, start=1):
            self.report(trial_id, number, value, 100.0 + number)
        self.tell(TrialEnded(trial_id=trial_id, state=state, error=error, time=112.4))

    @property
    def text(self) -> str:
        return self.file.getvalue()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def plain(text: str) -> bool:
    return all(character == "\n" or character.isprintable() for character in text)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_class_folds_of_a_configuration_are_told_after_each_repeat_and_failures_at_once(watched: Watched):
    for repeat in (1, 2):
        for fold, accuracy in ((2, 0.6), (1, 0.5)):
            for who in ({"trial_id": "t1"}, {"candidate": candidate("dtw_1nn")}):
                watched.tell(FoldScored(repeat=repeat, fold=fold, num_folds=2, accuracy=accuracy, **who))
    watched.tell(FoldScored(trial_id="t2", repeat=1, fold=2, num_folds=2, error="boom"))
    watched.tell(FoldScored(candidate=candidate("dtw_1nn"), repeat=3, fold=1, num_folds=2, error="bang"))
    assert watched.lines == [
        "class folds t1: 0.550 ± 0.071 over the 2 folds of repeat 1",
        "class folds t1: 0.550 ± 0.071 over the 2 folds of repeat 2",
        "class folds t2: fold 2, repeat 1: boom",
        "class folds dtw_1nn: fold 1, repeat 3: bang",
    ]


def test_without_a_terminal_each_ended_trial_is_one_plain_line(watched: Watched):
    with watched.printer as printer:
        printer.searching(3, watched.history, max_epochs=30)
        watched.run_trial("t0000", "completed", 0.25, 0.5, 0.5)
        watched.run_trial("t0001", "pruned", 0.375)
        watched.run_trial("t0002", "failed", error="out of [red]memory[/red]")
    what = "sup_con, miner batch_hard, small_cnn, lr 3.0e-04"
    assert watched.lines == [
        f"   1/3 t0000 completed 0.500 (3 epochs, 12 s; best 0.500 of t0000) {what}",
        f"   2/3 t0001 pruned    0.375 (1 epochs, 4 s; best 0.500 of t0000) {what}",
        f"   3/3 t0002 failed     (0 epochs, 0 s; best 0.500 of t0000) {what}: out of [red]memory[/red]",
    ]
    assert plain(watched.text)


def test_a_diverged_trial_is_told_but_not_the_best(watched: Watched):
    watched.printer.searching(2, watched.history, max_epochs=30)
    watched.run_trial("t0", "diverged", 0.9)
    watched.run_trial("t1", "completed", 0.5)
    assert "diverged  0.900 (1 epochs, 4 s; best none)" in watched.lines[0]
    assert "best 0.500" in watched.lines[1]


def test_a_pause_is_one_line_and_the_end_of_a_trial_that_was_not_promoted_none(watched: Watched):
    watched.printer.searching(2, watched.history, max_epochs=30)
    watched.start_trial("t0", 100.0)
    watched.report("t0", 1, 0.5, 101.0)
    watched.tell(TrialPaused(trial_id="t0", time=101.0))
    watched.run_trial("t1", "completed", 0.25)
    watched.tell(TrialEnded(trial_id="t0", state="pruned", time=112.4))
    assert len(watched.lines) == 2
    assert watched.lines[0].startswith("   1/2 t0 paused    0.500 (1 epochs, 4 s; best 0.500 of t0)")
    assert watched.lines[1].startswith("   2/2 t1 completed")


def test_a_trial_that_runs_on_is_not_counted_as_ended(watched: Watched):
    watched.printer.searching(4, watched.history, max_epochs=30)
    watched.start_trial("t0", 100.0)
    assert watched.text == ""
    watched.run_trial("t1", "completed", 0.5)
    assert watched.lines[0].startswith("   1/4 t1 ")


def test_final_models_are_told(watched: Watched):
    watched.tell(FinalStarted(trial_id="t0", seed=1, config={}, time=200.0))
    watched.tell(FinalEpoch(trial_id="t0", seed=1, epoch=1, time=210.0))
    watched.tell(FinalEnded(trial_id="t0", seed=1, state="completed", time=230.2))
    watched.tell(FinalStarted(trial_id="t0", seed=2, config={}, time=200.0))
    watched.tell(FinalEnded(trial_id="t0", seed=2, state="failed", error="no memory", time=201.0))
    assert watched.lines == [
        "final t0 seed 1: completed, 1 epochs, 30 s",
        "final t0 seed 2: failed, 0 epochs, 1 s: no memory",
    ]


def test_events_without_a_line_say_nothing(watched: Watched):
    watched.tell(StageChanged(name="search", state="started"))
    watched.tell(StageChanged(name="search", state="ended"))
    watched.tell(BaselinesScored(scores=()))
    assert watched.text == ""


def test_long_lines_are_not_folded_and_marks_are_kept(watched: Watched):
    message = "results in /a/very/long/path/to/results/demo-20261122-140000 [dim]with[/dim] :smile: marks"
    watched.printer.say(message)
    assert watched.text.startswith("results in /a/very/long/path/to/results/demo-20261122-140000 [dim]with[/dim] ")
    assert watched.text.count("\n") == 1


def test_counts_are_told_seldom_and_at_the_end(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    now = 1000.0
    monkeypatch.setattr("sldml.commands.progress.time.monotonic", lambda: now)
    with watched.printer as printer:
        show = printer.counting("reading recordings")
        for done in range(1, 13):
            now += 1.0
            show(done, 12)
    assert watched.lines == [
        "reading recordings: 6 of 12",
        "reading recordings: 12 of 12",
    ]
    assert plain(watched.text)


def test_without_a_console_it_prints_to_standard_output(capsys: pytest.CaptureFixture[str]):
    with ProgressPrinter() as printer:
        printer.say("x" * 300)
        printer.counting("writing")(3, 3)
    assert capsys.readouterr() == ("x" * 300 + "\nwriting: 3 of 3\n", "")


def test_trainings_that_go_on_are_told_once_a_minute(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sldml.commands.progress.time.time", lambda: 1000.0)
    watched.printer.searching(5, watched.history, max_epochs=30)
    watched.start_trial("t1", 1000.0)
    for number, when in enumerate((1010.0, 1059.0, 1061.0, 1119.0, 1121.0), start=1):
        watched.report("t1", number, 0.125 * number, when)
    watched.tell(TrialEnded(trial_id="t1", state="completed", time=1170.0))
    watched.start_trial("t2", 1170.0)
    watched.report("t2", 1, 0.5, 1185.0)
    assert watched.lines[:2] == [
        "trials still running: 0 of 5 ended, 1 running, 3 epochs in the last 1:01, best 0.375 (t1)",
        "trials still running: 0 of 5 ended, 1 running, 2 epochs in the last 1:00, best 0.625 (t1)",
    ]
    assert len(watched.lines) == 3, "what has just ended is a sign of life, too"
    assert plain(watched.text)


def test_final_models_that_go_on_are_told_with_the_time_left(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sldml.commands.progress.time.time", lambda: 1000.0)
    plan = [FinalTraining("t1", CONFIG, 4, seed) for seed in (1, 2)]
    watched.printer.training("final models", plan)
    watched.tell(FinalStarted(trial_id="t1", seed=1, config=CONFIG, time=1000.0))
    watched.tell(FinalEpoch(trial_id="t1", seed=1, epoch=1, metrics={"time/step_s": 60.0}, time=1060.0))
    # One epoch a minute, seven of eight to do.
    assert watched.lines == [
        "final models still running: 0 of 2 ended, 1 running, 1 epochs in the last 1:00, about 7 min left"
    ]


def test_in_a_terminal_trials_are_a_table_and_it_goes_away():
    watched = Watched(terminal=True, width=120)
    with watched.printer as printer:
        printer.searching(2, watched.history, max_epochs=30)
        watched.run_trial("t0", "completed", 0.5)
        watched.start_trial("t1", 100.0)
        watched.report("t1", 1, 0.25, 103.0)
        assert printer._live is not None
        lines = [line for line, _ in printer._live.lines(110.0, 119, 40)]
    assert any(line.split()[:3] == ["t1", "1/20", "0.250"] for line in lines)
    assert any(line.split()[:3] == ["t0", "1/20", "0.500"] for line in lines)
    assert any("1/2 · running 1" in line for line in lines)
    assert "\x1b[" in watched.text
    assert "t0 completed 0.500 (1 epochs" in watched.text
    shown = len(watched.text)
    printer.say("after")
    assert watched.text[shown:] == "after\n"  # no table is drawn again


def test_in_a_terminal_what_is_printed_stands_above_the_table():
    watched = Watched(terminal=True, width=120)
    with watched.printer as printer:
        printer.searching(7, watched.history, max_epochs=30)
        print("a warning of some library")
        assert printer._live is not None
        printer._live._live.refresh()
    told, table = watched.text.index("a warning of some library"), watched.text.rindex("0/7 · starting workers")
    assert told < table


def test_in_a_terminal_counts_are_not_told_as_lines():
    watched = Watched(terminal=True, width=120)
    with watched.printer as printer:
        show = printer.counting("reading")
        show(1, 2)
        assert printer._live is not None
        ((line, _),) = printer._live.lines(0.0, 119, 40)
        assert line.startswith("reading ━━━━━━━━━━────────── 1/2 · ")
        show(2, 2)
        ((line, _),) = printer._live.lines(0.0, 119, 40)
        assert line[2:].startswith("reading · ")
    assert "reading: " not in watched.text


def test_in_a_terminal_a_stage_says_what_it_counts():
    watched = Watched(terminal=True, width=120)
    with watched.printer as printer:
        printer.steps(STEPS)
        watched.tell(StageChanged(name="test", state="started"))
        show = printer.counting("baselines")
        show(3, 4)
        assert printer._live is not None
        step = "step 3 of 4: sealed test · "
        assert printer._live.lines(0.0, 119, 40)[0][0].startswith(f"{step}baselines ━━━━━━━━━━━━━━━───── 3/4")
        show(4, 4)
        assert re.fullmatch(rf". {step}[\d:]+", printer._live.lines(0.0, 119, 40)[0][0])
        printer.step("report")
        printer.doing("writing the report")
        assert printer._live.lines(0.0, 119, 40)[0][0][2:].startswith("step 4 of 4: report · writing the report · ")
    assert "step" not in watched.lines[-1]


def test_without_a_terminal_each_step_is_a_line(watched: Watched):
    watched.printer.steps(STEPS)
    watched.printer.step("data")
    watched.tell(StageChanged(name="search", state="started"))
    watched.tell(StageChanged(name="search", state="ended"))
    watched.tell(StageChanged(name="test", state="started"))
    watched.tell(LeftOut(what="2 of 3 final models (t1 seed 2, t1 seed 3)"))
    watched.printer.step("report")
    assert watched.lines == [
        "step 1 of 4: data",
        "step 2 of 4: trials and baselines",
        "step 3 of 4: sealed test",
        "time budget: left out 2 of 3 final models (t1 seed 2, t1 seed 3)",
        "step 4 of 4: report",
    ]


def test_baselines_beside_the_trials_are_counted_once_a_minute(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    now = [1000.0]
    monkeypatch.setattr("sldml.commands.progress.time.time", lambda: now[0])
    watched.printer.steps(STEPS)
    watched.tell(StageChanged(name="search", state="started"))
    watched.printer.searching(5, watched.history, max_epochs=30)
    for done, now[0] in ((0, 1000.0), (4, 1030.0), (8, 1059.0), (12, 1061.0), (16, 1090.0), (40, 1125.0)):
        watched.printer.beside("baselines", done, 40)
    assert watched.lines[1:] == [
        "trials still running: 0 of 5 ended, 0 running, 0 epochs in the last 1:01, baselines 12 of 40",
        "trials still running: 0 of 5 ended, 0 running, 0 epochs in the last 1:04",
    ]


def test_what_is_left_covers_the_later_steps(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sldml.commands.progress.time.time", lambda: 1000.0)
    watched.printer.steps([*STEPS[:2], Step("final", "final models"), Step("folds", "class folds", 13), *STEPS[2:]])
    watched.tell(StageChanged(name="final", state="started"))
    watched.printer.training("final models", [FinalTraining("t1", CONFIG, 4, seed) for seed in (1, 2)])
    watched.tell(FinalStarted(trial_id="t1", seed=1, config=CONFIG, time=1000.0))
    watched.tell(FinalEpoch(trial_id="t1", seed=1, epoch=1, metrics={"time/step_s": 60.0}, time=1060.0))
    assert watched.lines[-1].endswith("about 20 min left"), "7 epochs of final models, 13 of class folds"


def test_class_folds_are_shown_while_they_are_trained():
    watched = Watched(terminal=True, width=120)
    plan = [FoldTraining("t1", CONFIG, 2, 2, 1, fold) for fold in (1, 2)]
    with watched.printer as printer:
        printer.training("class folds", plan)
        printer.fold_happened(plan[0], None)
        printer.fold_happened(plan[0], {"epoch": 1, "state": "running", "images_per_s": 1234.5})
        assert printer._live is not None
        lines = [line for line, _ in printer._live.lines(110.0, 119, 40)]
        assert any(line.startswith("t1 fold 1, repeat 1    1/2     1,23") for line in lines), lines
        printer.fold_happened(plan[0], {"epoch": 2, "state": "completed"})
        printer.fold_happened(plan[1], None)
        printer.fold_happened(plan[1], {"state": "failed"})
        lines = [line for line, _ in printer._live.lines(110.0, 119, 40)]
        assert any(line.startswith("class folds ") and "2/2 · running 0 · failed 1" in line for line in lines), lines
        printer.fold_happened(FoldTraining("t1", CONFIG, 2, 2, 2, 1), None)
        lines = [line for line, _ in printer._live.lines(110.0, 119, 40)]
        assert any("2/3 · running 1 · failed 1" in line for line in lines), "the second repeat was not planned"
