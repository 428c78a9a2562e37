"""`optuna.journal`: the trials of a search as an Optuna study, for Optuna's own tools.

The search does not read it back; its journal is the truth. The file follows that journal, during a search and after a
resume: `optuna-dashboard results/NAME/optuna.journal`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as StudyState

from sldml.config.space import SearchSpace
from sldml.config.space_tree import SpaceError
from sldml.errors import lacks_room
from sldml.journal import (
    FILE,
    Event,
    Follower,
    History,
    JournalReader,
    TrialEnded,
    TrialEpoch,
    TrialRecord,
    TrialStarted,
)

OPTUNA_FILE = "optuna.journal"
_STATES = {
    "running": StudyState.RUNNING,
    "paused": StudyState.RUNNING,
    "completed": StudyState.COMPLETE,
    "pruned": StudyState.PRUNED,
    "diverged": StudyState.PRUNED,
    "failed": StudyState.FAIL,
}
_NAME, _STATE = "trial", "state"
"""User attributes: the trial's name and state in the search."""
_log = logging.getLogger(__name__)


class OptunaJournal:
    """Keeps an Optuna study up to date with the journal of a search."""

    def __init__(self, folder: Path, space: SearchSpace, name: str) -> None:
        """
        Args:
            folder: The folder of the search.
            space: Its search space, for the distributions of parameters.
            name: Of the study.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        path = folder / OPTUNA_FILE
        try:
            self._open(path, name)
        except Exception as error:  # Optuna does not name what it raises on a line that a kill left cut
            if lacks_room(error):
                raise
            _log.warning("%s is damaged (%r): it is written again from the journal", OPTUNA_FILE, error)
            path.unlink(missing_ok=True)
            self._open(path, name)
        self._follower = Follower(JournalReader(folder / FILE), self._update, "optuna-journal")
        self._follower.start()

    def _open(self, path: Path, name: str) -> None:
        if path.exists() and path.read_bytes()[-1:] not in (b"", b"\n"):
            raise ValueError("its last line is cut")  # Optuna would append to that line
        backend = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
        self._storage = JournalStorage(backend)
        study = optuna.create_study(storage=self._storage, study_name=name, direction="maximize", load_if_exists=True)
        assert study.direction is StudyDirection.MAXIMIZE
        self._study_id = self._storage.get_study_id_from_name(name)
        self._known = {t.user_attrs[_NAME]: t for t in study.get_trials(deepcopy=False) if _NAME in t.user_attrs}

    def close(self, timeout_s: float = 20.0) -> None:
        """Catch up with the journal, at most for `timeout_s`."""
        self._follower.close(timeout_s)

    def _update(self, events: Iterable[Event], history: History) -> bool:
        names = {e.trial_id for e in events if isinstance(e, TrialStarted | TrialEpoch | TrialEnded)}
        for name in sorted(names):
            try:
                self._write(history.trials[name])
            except SpaceError as error:  # a resumed search with another space
                _log.warning("%s: trial %s is left out (%s)", OPTUNA_FILE, name, error)
            except Exception as error:  # a search must not end because of a file that it does not need
                if not lacks_room(error):  # else the search reports it, when it writes to its own journal
                    _log.warning("%s is not kept up to date any more: %r", OPTUNA_FILE, error)
                return False
        return True

    def _write(self, record: TrialRecord) -> None:
        curve = {epoch.epoch: epoch.metrics["val/accuracy"] for epoch in record.epochs}
        known = self._known.get(record.trial_id)
        if known is None:
            trial_id = self._storage.create_new_trial(self._study_id, self._frozen(record, curve))
        elif known.state.is_finished():
            return
        else:
            trial_id = known._trial_id
            for epoch, value in curve.items():
                if known.intermediate_values.get(epoch) != value:
                    self._storage.set_trial_intermediate_value(trial_id, epoch, value)
            if record.has_ended:
                self._storage.set_trial_user_attr(trial_id, _STATE, record.state)
                self._storage.set_trial_state_values(trial_id, _STATES[record.state], self._values(record))
        self._known[record.trial_id] = self._storage.get_trial(trial_id)

    def _frozen(self, record: TrialRecord, curve: dict[int, float]) -> FrozenTrial:
        return FrozenTrial(
            number=0,  # the storage gives it one
            trial_id=0,
            state=_STATES[record.state],
            value=None,
            values=self._values(record),
            datetime_start=datetime.fromtimestamp(record.started),
            datetime_complete=None if record.ended is None else datetime.fromtimestamp(record.ended),
            params=dict(record.params),
            distributions=self._space.distributions(record.params),
            user_attrs={_NAME: record.trial_id, _STATE: record.state},
            system_attrs={},
            intermediate_values=curve,
        )

    @staticmethod
    def _values(record: TrialRecord) -> list[float] | None:
        return [record.value or 0.0] if record.state == "completed" else None
