"""The journal of a search: the truth about it, as typed events in an append-only file.

`events` has what can be written, `records` and `results` what events are made of, `history` what they say together, and
`file` writes and reads them. Whatever shows a search follows its journal.
"""

from sldml.journal.events import (
    AttemptBegun,
    AttemptEnded,
    BaselinesScored,
    Event,
    FinalEnded,
    FinalEpoch,
    FinalStarted,
    FoldScored,
    LeftOut,
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
    Artifact,
    BaselineScore,
    Candidate,
    ComparisonRecord,
    EnvironmentRecord,
    Epoch,
    Interval,
    OptionsRecord,
    Params,
    PreparedRecord,
    Record,
    SettingsRecord,
    SpaceRecord,
    SplitRecord,
    TrialState,
)
from sldml.journal.results import (
    Accuracy,
    AgainstBaseline,
    ConfusedPair,
    ConfusionMatrix,
    EmbeddingMap,
    FinalResult,
    FoldRow,
    FoldTable,
    LabelledImage,
    Latency,
    MapPoint,
    PairedDifference,
    Shipped,
    TestResults,
)

__all__ = [
    "ALL", "ENDED", "FILE", "OBJECTIVE", "Accuracy", "AgainstBaseline", "Artifact", "AttemptBegun", "AttemptEnded",
    "Baseline", "BaselineScore", "BaselinesScored", "Candidate",
    "ComparisonRecord", "ConfusedPair", "ConfusionMatrix", "EmbeddingMap", "EnvironmentRecord", "Epoch", "Event",
    "FinalEnded", "FinalEpoch", "FinalRecord", "FinalResult", "FinalStarted", "FoldRow", "FoldScored", "FoldTable",
    "Follower", "FoundSearch", "History", "Interval", "Journal", "JournalError", "JournalReader", "LabelledImage",
    "Latency", "LeftOut", "MapPoint", "OptionsRecord", "PairedDifference", "Params", "PreparedRecord", "Record",
    "SearchBegun", "SettingsRecord", "Shipped", "SpaceRecord", "SplitRecord", "StageChanged", "TestResults", "Tested",
    "TrainingRecord", "TrialEnded", "TrialEpoch", "TrialLost", "TrialPaused", "TrialRecord", "TrialStarted",
    "TrialState", "find_search", "not_begun", "read_history",
]  # fmt: skip
