"""What the events of a journal are made of: frozen records, checked when they are made and when they are read.

Accuracies are fractions and times are seconds since 1970.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from sldml.config.dotted import ConfigTree

TrialState = Literal["running", "paused", "completed", "pruned", "diverged", "failed"]
ENDED: tuple[TrialState, ...] = ("completed", "pruned", "diverged", "failed")
OBJECTIVE = "val/accuracy"

Interval = tuple[float, float]
"""A 95 % interval."""
Params = dict[str, str | int | float | bool]
"""Sampled parameters: dotted path to value."""

Text = Annotated[str, BeforeValidator(lambda text: _storable(text) if isinstance(text, str) else text)]
"""Text from outside. Characters that UTF-8 cannot hold, of file names that are not UTF-8, are escaped."""


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class Record(BaseModel):
    """A frozen record without unknown fields and without numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# ------------------------------------------------------------------------------------------------ origin of a search


class SpaceRecord(Record):
    """The search space as it was read."""

    name: str
    hash: str
    text: str


class SettingsRecord(Record):
    """The settings of a search, and of its final models."""

    model_config = ConfigDict(extra="allow")

    trials: int
    finalists: int = 3
    fold_repeats: int = 3
    top_k: int = 3
    final_seeds: int = 3
    seed: int = 0


class OptionsRecord(Record):
    """The options of a call that change what happens. A resumed search takes them over unless they are given again."""

    space: str | None = None
    """Name or file of the search space, as it was given; None if it was given otherwise."""
    final: bool = True
    concurrent: int | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    strict: bool = False
    tracking_uri: str | None = None
    """With `***` instead of secrets; None for the default store."""
    address: str | None = None


class PreparedRecord(Record):
    """The prepared set."""

    hash: str
    num_recordings: int
    num_frames: int
    num_rows: int
    num_refused: int = 0
    source: str


class SplitRecord(Record):
    """The split. Of novel recordings it has counts only."""

    description: str
    notes: tuple[str, ...] = ()
    hash: str
    train_classes: tuple[str, ...]
    validation_classes: tuple[str, ...]
    num_train: int
    num_validation: int
    num_novel_classes: int
    num_novel: int
    measure: Literal["one_shot_accuracy", "map_at_r"]

    @property
    def num_auxiliary(self) -> int:
        """Number of classes that final models are trained on."""
        return len({*self.train_classes, *self.validation_classes})


class ComparisonRecord(Record):
    """The choices of a comparison and their reference."""

    axis: str
    choices: tuple[str, ...]
    against: str
    num_folds: int


class EnvironmentRecord(Record):
    """Where a search runs."""

    python: str
    platform: str
    host: str
    cores: int | None = None
    device: str
    commit: str | None = None
    dirty: bool | None = None
    packages: dict[str, str | None] = {}
    threads: int | None = None


# ------------------------------------------------------------------------------------------------------- trainings


class Epoch(Record):
    """The report of one epoch."""

    epoch: int
    time: float = 0.0
    metrics: dict[str, float] = {}
    """`val/accuracy`, `train/loss`, `time/step_s` …"""
    worker: str | None = None
    """`host:pid`."""
    right_per_class: tuple[float, ...] = ()
    """Correct queries of each validation class, mean over the exemplar draws; empty with class folds."""
    queries_per_class: tuple[float, ...] = ()

    @property
    def value(self) -> float:
        """The validation accuracy after this epoch; over class folds, the mean of those that are done."""
        return self.metrics[OBJECTIVE]

    @property
    def num_folds(self) -> int:
        """Number of class folds whose mean `value` is."""
        return int(self.metrics.get("val/num_folds", 1))

    def seconds(self, part: str) -> float:
        """Time spent in `data`, `step` or `evaluation`."""
        return self.metrics.get(f"time/{part}_s", 0.0)


# ------------------------------------------------------------------------------------------------------- baselines


class Candidate(Record):
    """A way to recognise without training. Two with equal fields are the same."""

    baseline: str
    normalize: ConfigTree
    encoder: ConfigTree | None = None
    representation: ConfigTree | None = None

    @property
    def key(self) -> str:
        """Text that is equal for equal candidates only."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)


class BaselineScore(Record):
    """The scores of a candidate."""

    candidate: Candidate
    place: int = 0
    """Its position among all candidates of the search, in the order of the space."""
    val: float
    val_std: float = 0.0
    """Standard deviation over the exemplar draws."""
    val_folds: tuple[float, ...] = ()
    """With `evaluation.num_folds` above one: the accuracy on each fold, of which `val` is the mean."""
    right_per_class: tuple[float, ...] = ()
    queries_per_class: tuple[float, ...] = ()
    test: float | None = None
    """Accuracy on the sealed test; None before it."""


class Artifact(Record):
    """A file to attach to a run of tracking."""

    path: str
    """Below the folder of the search."""
    folder: str | None = None
    """Among the run's artifacts; None for their root."""
    trial_id: str | None = None
    """The trial whose run it belongs to; None for that of the search."""
