"""What the events of a journal are made of: frozen records, checked when they are made and when they are read.

Accuracies are fractions and times are seconds since 1970.
"""

from __future__ import annotations

from statistics import mean, stdev
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from sldml.config.dotted import ConfigTree

TrialState = Literal["running", "paused", "completed", "pruned", "diverged", "failed"]
ENDED: tuple[TrialState, ...] = ("completed", "pruned", "diverged", "failed")
OBJECTIVE = "val/accuracy_best"

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
    def best(self) -> float:
        """The best validation accuracy up to this epoch; over class folds, the mean of their best."""
        return self.metrics[OBJECTIVE]

    @property
    def num_folds(self) -> int:
        """Number of class folds whose mean `best` is."""
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


class BaselineScore(Record):
    """The scores of a candidate."""

    candidate: Candidate
    val: float
    val_std: float = 0.0
    """Standard deviation over the exemplar draws."""
    val_folds: tuple[float, ...] = ()
    """With `evaluation.num_folds` above one: the accuracy on each fold, of which `val` is the mean."""
    right_per_class: tuple[float, ...] = ()
    queries_per_class: tuple[float, ...] = ()
    test: float | None = None
    """Accuracy on the sealed test; None before it."""


class CandidateFolds(Record):
    """The accuracy of a candidate on each class fold."""

    candidate: Candidate
    accuracies: tuple[float, ...]


# ------------------------------------------------------------------------------------------------------ sealed test


class Accuracy(Record):
    """Accuracy over several seeds."""

    mean: float
    ci95: Interval | None
    """None with a single seed."""
    values: tuple[float, ...]


class ConfusionMatrix(Record):
    """Counts of queries: rows are true classes, columns recognised ones."""

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]


class FinalResult(Record):
    """A configuration on the sealed test, over its final models."""

    trial_id: str
    config: ConfigTree
    val_accuracy: float
    num_epochs: int
    seeds: tuple[int, ...]
    test_accuracy: Accuracy
    confusions: tuple[ConfusionMatrix, ...]


class Shipped(Record):
    """The saved model: a final model, or a candidate without training."""

    kind: Literal["trained", "training_free"]
    trial_id: str | None = None
    seed: int | None = None
    candidate: Candidate | None = None
    reason: str
    accuracy: float
    """On the sealed test."""
    threshold: float
    """Ratio of nearest to second-nearest distance above which an action is unknown."""
    known_rejected: float | None = None
    """On development recordings: share of recordings of known actions that are unknown by the threshold."""
    unknown_accepted: float | None = None
    """Share of recordings of actions without an exemplar that are given a name nevertheless."""

    @property
    def is_trained(self) -> bool:
        """False for a baseline, which needs no training."""
        return self.kind == "trained"

    @property
    def name(self) -> str:
        """The trial, or the baseline."""
        return self.trial_id or (self.candidate.baseline if self.candidate else "")


class PairedDifference(Record):
    """A mean difference with its paired interval."""

    mean: float
    ci95: Interval


class AgainstBaseline(Record):
    """The saved model less the best one without training, on the sealed test."""

    candidate: Candidate
    accuracy: float
    """Of the candidate."""
    difference: float
    over_queries: Interval
    """Paired over the queries: the effect of other recordings of these classes."""
    over_classes: Interval
    """Paired over the novel classes: the effect of other classes."""


class FoldRow(Record):
    """A configuration or a baseline over all class folds."""

    name: str
    kind: Literal["trained", "training_free"]
    accuracies: tuple[float, ...] | None
    """One per fold; None if a fold failed."""
    difference: PairedDifference | None = None
    """Of a trained one, to the best baseline."""
    error: str | None = None
    candidate: Candidate | None = None
    """Of a baseline: its best over the folds."""

    @property
    def mean(self) -> float | None:
        """Mean over the folds."""
        return None if self.accuracies is None else mean(self.accuracies)

    @property
    def std(self) -> float | None:
        """Sample standard deviation over the folds."""
        return None if self.accuracies is None else stdev(self.accuracies)


class FoldTable(Record):
    """The scores over class folds that decided what ships."""

    num_folds: int
    rows: tuple[FoldRow, ...]


class Latency(Record):
    """Latency of the saved model, one recording at a time, in milliseconds."""

    enrol_ms_per_recording: float
    recognise_ms_per_recording: float
    recognise_ms_p95: float
    recordings: int
    exemplars: int
    device: str
    threads: int
    read_ms_per_recording: float | None = None
    """Reading the file; None where no files were read."""
    read_ms_p95: float | None = None


class MapPoint(Record):
    """A recording in the map of embeddings."""

    name: str
    label: str
    x: float
    y: float
    exemplar: bool
    named: str | None = None
    """The recognised class of a query."""


class EmbeddingMap(Record):
    """Recordings of novel classes in a plane."""

    method: str
    points: tuple[MapPoint, ...]


class LabelledImage(Record):
    """An input of the model."""

    what: str
    png: str
    """Base64."""


class ConfusedPair(Record):
    """A frequent confusion, with examples."""

    true: str
    named: str
    count: int
    total: int
    """Queries of the true class."""
    images: tuple[LabelledImage, ...]


class Artifact(Record):
    """A file to attach to a run of tracking."""

    path: str
    """Below the folder of the search."""
    folder: str | None = None
    """Among the run's artifacts; None for their root."""
    trial_id: str | None = None
    """The trial whose run it belongs to; None for that of the search."""


class TestResults(Record):
    """The sealed test. What concerns the saved model is missing in a comparison, which saves none."""

    __test__ = False
    """Not a test of pytest's."""

    num_queries: int
    num_classes: int
    num_exemplars: int
    finals: tuple[FinalResult, ...]
    """In the order of validation."""
    shipped: Shipped | None = None
    against: AgainstBaseline | None = None
    """None if the saved model is the best one without training."""
    confusion: ConfusionMatrix | None = None
    per_class: dict[str, float] = {}
    folds: FoldTable | None = None
    latency: Latency | None = None
    embedding_map: EmbeddingMap | None = None
    confused: tuple[ConfusedPair, ...] = ()
