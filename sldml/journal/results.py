"""Records of what a search found: the sealed test, the class folds, and the saved model."""

from __future__ import annotations

from statistics import mean, stdev
from typing import Literal

from pydantic import Field

from sldml.config.dotted import ConfigTree
from sldml.journal.records import Candidate, Interval, Record


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
    better_than_default: float | None = None
    """Probability of being better than the default configuration, by the class folds; None if it is that itself, or
    if the two were not compared."""
    better_than_baseline: float | None = None
    """Probability of being better than the best candidate without training; None if it is that itself."""
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
    """A mean difference over class folds, pair by pair."""

    mean: float
    ci95: Interval
    better: float
    """Probability that the first one is better on other classes."""


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
    """A finalist over the class folds: a configuration or a candidate without training."""

    name: str
    """The trial, or the baseline."""
    kind: Literal["trained", "training_free"]
    accuracies: tuple[float, ...] = ()
    """One per fold, in order: first those of the first repeat."""
    difference: PairedDifference | None = None
    """Of a configuration, to the best candidate without training."""
    dropped: bool = False
    """Whether it was not scored on all folds because another finalist was better."""
    error: str | None = None
    """Why it has no further folds."""
    is_default: bool = False
    """Whether it is the default configuration of the search space."""
    candidate: Candidate | None = None
    """Of a baseline: its best over the folds."""

    @property
    def mean(self) -> float | None:
        """Mean over the folds; None without any."""
        return mean(self.accuracies) if self.accuracies else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation over the folds; None with fewer than two."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else None


class FoldTable(Record):
    """The scores over class folds that decided what ships."""

    num_folds: int
    """In one repeat."""
    num_scored: int
    """Folds on which all finalists that were not dropped are scored, over all repeats."""
    ending: str
    """Why there are no more."""
    rows: tuple[FoldRow, ...]
    """The best candidate of each baseline, then the configurations, best first."""


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


class TestResults(Record):
    """The sealed test. What concerns the saved model is missing in a comparison, which saves none."""

    __test__ = False
    """Not a test of pytest's."""

    num_queries: int
    num_classes: int
    num_exemplars: int
    finals: tuple[FinalResult, ...]
    """In the order of the class folds, or else of validation."""
    shipped: Shipped | None = None
    against: AgainstBaseline | None = None
    """None if the saved model is the best one without training."""
    confusion: ConfusionMatrix | None = None
    per_class: dict[str, float] = Field(default_factory=dict)
    folds: FoldTable | None = None
    latency: Latency | None = None
    embedding_map: EmbeddingMap | None = None
    confused: tuple[ConfusedPair, ...] = ()
