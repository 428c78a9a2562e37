"""The journal of a search: the truth about it, as typed events in an append-only file.

`events` has what can be written, `records` what events are made of, `history` what they say together, and `file` writes
and reads them. Whatever shows a search follows its journal.
"""

from sldml.journal.events import (
    AttemptBegun,
    AttemptEnded,
    BaselineFoldsScored,
    BaselinesScored,
    Event,
    FinalEnded,
    FinalEpoch,
    FinalStarted,
    FoldsScored,
    SearchBegun,
    StageChanged,
    Tested,
    TrialEnded,
    TrialEpoch,
    TrialLost,
    TrialPaused,
    TrialStarted,
)
from sldml.journal.file import (
    FILE,
    FoundSearch,
    Journal,
    JournalError,
    JournalReader,
    find_search,
    not_begun,
    read_history,
)
from sldml.journal.follower import Follower
from sldml.journal.history import ALL, Baseline, FinalRecord, History, TrainingRecord, TrialRecord
from sldml.journal.records import (
    ENDED,
    OBJECTIVE,
    Accuracy,
    AgainstBaseline,
    Artifact,
    BaselineScore,
    Candidate,
    CandidateFolds,
    ComparisonRecord,
    ConfusedPair,
    ConfusionMatrix,
    EmbeddingMap,
    EnvironmentRecord,
    Epoch,
    FinalResult,
    FoldRow,
    FoldTable,
    Interval,
    LabelledImage,
    Latency,
    MapPoint,
    OptionsRecord,
    PairedDifference,
    Params,
    PreparedRecord,
    Record,
    SettingsRecord,
    Shipped,
    SpaceRecord,
    SplitRecord,
    TestResults,
    TrialState,
)

__all__ = [
    "ALL", "ENDED", "FILE", "OBJECTIVE", "Accuracy", "AgainstBaseline", "Artifact", "AttemptBegun", "AttemptEnded",
    "Baseline", "BaselineFoldsScored", "BaselineScore", "BaselinesScored", "Candidate", "CandidateFolds",
    "ComparisonRecord", "ConfusedPair", "ConfusionMatrix", "EmbeddingMap", "EnvironmentRecord", "Epoch", "Event",
    "FinalEnded", "FinalEpoch", "FinalRecord", "FinalResult", "FinalStarted", "FoldRow", "FoldTable", "FoldsScored",
    "Follower", "FoundSearch", "History", "Interval", "Journal", "JournalError", "JournalReader", "LabelledImage",
    "Latency", "MapPoint", "OptionsRecord", "PairedDifference", "Params", "PreparedRecord", "Record", "SearchBegun",
    "SettingsRecord", "Shipped", "SpaceRecord", "SplitRecord", "StageChanged", "TestResults", "Tested",
    "TrainingRecord", "TrialEnded", "TrialEpoch", "TrialLost", "TrialPaused", "TrialRecord", "TrialStarted",
    "TrialState", "find_search", "not_begun", "read_history",
]  # fmt: skip
