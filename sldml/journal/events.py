"""The events of a search: all that can be written to its journal.

An event is a frozen record that is told apart by its field `event`. A journal of a later version, or an event that this
version does not know, is refused when it is read.
"""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from sldml.config.dotted import ConfigTree
from sldml.journal.records import (
    Artifact,
    BaselineScore,
    Candidate,
    ComparisonRecord,
    EnvironmentRecord,
    Epoch,
    OptionsRecord,
    Params,
    PreparedRecord,
    Record,
    SettingsRecord,
    SpaceRecord,
    SplitRecord,
    Text,
    TrialState,
)
from sldml.journal.results import TestResults

VERSION = 2
"""Of the format, in the first event of a journal."""


class _Timed(Record):
    time: float = Field(default_factory=time.time)


class SearchBegun(_Timed):
    """The first event: what is searched, and on which data."""

    event: Literal["search"] = "search"
    version: int = VERSION
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    """Tells searches of one name apart."""
    name: str
    space: SpaceRecord
    dataset: str
    protocol: str
    settings: SettingsRecord
    slots: int
    """Number of concurrent trials."""
    max_epochs: int
    overrides: tuple[str, ...] = ()
    """Settings applied to the space, as of `--set`."""
    first: tuple[Params, ...] = ()
    """Configurations to try first."""
    default: Params | None = None
    """The default configuration of the space, which is the first of them; None if it is not tried."""
    compare: ComparisonRecord | None = None
    data: Text | None = None
    """Folder of the raw recordings."""
    command: Text = ""
    prepared: PreparedRecord
    split: SplitRecord
    environment: EnvironmentRecord


class AttemptBegun(_Timed):
    """A call that works on the search begins."""

    event: Literal["attempt"] = "attempt"
    command: Text = ""
    overrides: tuple[str, ...] = ()
    settings: SettingsRecord
    slots: int
    environment: EnvironmentRecord
    register_as: str | None = None
    """Name of the saved model in MLflow's registry."""
    options: OptionsRecord = OptionsRecord()


class AttemptEnded(_Timed):
    """A call ends in order; the report is written."""

    event: Literal["attempt_ended"] = "attempt_ended"
    state: Literal["completed", "interrupted", "failed"]
    error: Text | None = None
    artifacts: tuple[Artifact, ...] = ()
    """The files that it left: report, model …"""


class StageChanged(_Timed):
    """A stage of the search starts or ends."""

    event: Literal["stage"] = "stage"
    name: str
    state: Literal["started", "ended"]


class BaselinesScored(_Timed):
    """Some candidates of the baselines were scored on validation, or all of them again on the sealed test.

    A later score of a candidate replaces an earlier one.
    """

    event: Literal["baselines"] = "baselines"
    scores: tuple[BaselineScore, ...]
    worker: str | None = None
    """`host:pid` of the process that scored them on validation."""
    seconds: float = 0.0
    """How long that took; it ended at `time`."""


class TrialStarted(_Timed):
    """A trial starts."""

    event: Literal["trial_started"] = "trial_started"
    trial_id: str
    params: Params
    config: ConfigTree


class TrialEpoch(Epoch):
    """A trial reports an epoch."""

    event: Literal["epoch"] = "epoch"
    time: float = Field(default_factory=time.time)
    trial_id: str


class TrialPaused(_Timed):
    """A trial stops at a rung of its scheduler. It continues with its next epoch, or ends as pruned."""

    event: Literal["trial_paused"] = "trial_paused"
    trial_id: str


class TrialEnded(_Timed):
    """A trial ended."""

    event: Literal["trial_ended"] = "trial_ended"
    trial_id: str
    state: TrialState
    error: Text | None = None


class TrialLost(_Timed):
    """The process or the machine of a trial died, again after every retry. It is unfinished: a resume tries again."""

    event: Literal["trial_lost"] = "trial_lost"
    trial_id: str
    error: Text


class FinalStarted(_Timed):
    """A final training starts; one that starts again after its end is a new one."""

    event: Literal["final_started"] = "final_started"
    trial_id: str
    seed: int
    config: ConfigTree


class FinalEpoch(Epoch):
    """A final training reports an epoch."""

    event: Literal["final_epoch"] = "final_epoch"
    time: float = Field(default_factory=time.time)
    trial_id: str
    seed: int


class FinalEnded(_Timed):
    """A final training ended."""

    event: Literal["final_ended"] = "final_ended"
    trial_id: str
    seed: int
    state: TrialState
    error: Text | None = None


class FoldScored(_Timed):
    """A finalist was scored on one class fold, or failed on it."""

    event: Literal["fold"] = "fold"
    trial_id: str | None = None
    candidate: Candidate | None = None
    """Either a trial, whose configuration was trained, or a candidate without training."""
    repeat: int
    """From 1: which division of the auxiliary classes into folds."""
    fold: int
    """From 1."""
    num_folds: int
    """In one repeat."""
    seed: int | None = None
    """Of the training."""
    accuracy: float | None = None
    error: Text | None = None

    @property
    def key(self) -> str:
        """The finalist."""
        return self.candidate.key if self.candidate is not None else str(self.trial_id)


class LeftOut(_Timed):
    """Something did not fit into the time budget of this call; a resume continues with it."""

    event: Literal["left_out"] = "left_out"
    what: Text


class Tested(_Timed):
    """The sealed test was run, and the model saved."""

    event: Literal["test"] = "test"
    results: TestResults


Event = (
    SearchBegun
    | AttemptBegun
    | AttemptEnded
    | StageChanged
    | BaselinesScored
    | TrialStarted
    | TrialEpoch
    | TrialPaused
    | TrialEnded
    | TrialLost
    | FinalStarted
    | FinalEpoch
    | FinalEnded
    | FoldScored
    | LeftOut
    | Tested
)
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def to_line(event: Event) -> bytes:
    """An event as a line of JSON."""
    return event.model_dump_json().encode() + b"\n"


def from_line(line: bytes) -> Event:
    """The event in a line.

    Raises:
        ValueError: it is not an event that this version knows.
    """
    return _ADAPTER.validate_json(line)
