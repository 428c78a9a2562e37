"""Recognition of raw files by a saved model, with counts and latency, as text or as plain values."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sldml.errors import InputError
from sldml.journal import Latency
from sldml.recognition.latency import evenly, latency_lines, measure_latency, percentile_ms, timed
from sldml.recognition.recognizer import Recognition, Recognizer
from sldml.recognition.saved_exemplars import SavedExemplars, read_exemplars
from sldml.recordings.given_files import RawFile, RawFiles, ReadFile, exemplars_in, given_label
from sldml.report.files import Json

_BATCH_SIZE = 256
"""Recordings are recognised in batches of this size, so that the first results appear before all files are read."""
_MAX_ACTIONS_SHOWN = 20


@dataclass(frozen=True)
class InputResult:
    """An input file and its result."""

    file: RawFile
    recognition: Recognition | None
    """None if the file holds no recording."""
    reason: str = ""
    """Why it holds none."""
    true_label: str | None = None
    """The enrolled action that the file is labelled with, if any."""

    def to_json(self) -> Json:
        """As plain values."""
        if self.recognition is None:
            return {"file": str(self.file.path), "reason": self.reason}
        found = self.recognition
        return {
            "file": str(self.file.path),
            "label": found.label,
            "nearest": found.nearest,
            "distance": found.distance,
            "ratio": found.ratio,
            "said": self.true_label,
        }


@dataclass
class Session:
    """A model with enrolled exemplars, and the results of the inputs so far."""

    model: Recognizer
    raw: RawFiles
    exemplars: SavedExemplars
    exemplar_files: frozenset[Path]
    """Left out of the inputs, where they would match themselves."""
    broken_exemplars: list[ReadFile] = field(default_factory=list)
    results: list[InputResult] = field(default_factory=list)

    def recognize(self, files: Sequence[RawFile]) -> Iterator[InputResult]:
        """Read and recognise files, in order."""
        waiting: list[ReadFile] = []
        for read in self.raw.read(files):
            waiting.append(read)
            if len(waiting) == _BATCH_SIZE:
                yield from self._recognize(waiting)
                waiting = []
        yield from self._recognize(waiting)

    def _recognize(self, read: Sequence[ReadFile]) -> Iterator[InputResult]:
        assert self.model.gallery is not None
        recordings = [one.recording for one in read if one.recording is not None]
        found = iter(self.model.recognize(recordings))
        for one in read:
            if one.recording is None:
                result = InputResult(one.file, None, one.reason)
            else:
                result = InputResult(one.file, next(found), true_label=given_label(one, self.model.gallery.actions))
            self.results.append(result)
            yield result

    def latency(self) -> Latency:
        """`measure_latency` on some inputs, and the time to read their files."""
        good = [result.file for result in self.results if result.recognition is not None]
        signals = []

        def read(file: RawFile) -> None:
            signals.append(self.raw.read_one(file).values)

        reading = timed([good[index] for index in evenly(len(good))], read)
        measured = measure_latency(self.model, self.exemplars.signals, signals)
        reading_ms = {"read_ms_per_recording": percentile_ms(reading, 50), "read_ms_p95": percentile_ms(reading, 95)}
        return measured.model_copy(update=reading_ms)

    def counts(self) -> dict[str, int]:
        """Number of inputs: all, unreadable, recognised, unknown, labelled with an enrolled action, and correct."""
        found = [(r.recognition, r.true_label) for r in self.results if r.recognition is not None]
        labelled = [(recognition, label) for recognition, label in found if label is not None]
        return {
            "inputs": len(self.results),
            "broken": len(self.results) - len(found),
            "named": sum(recognition.label is not None for recognition, _ in found),
            "unknown": sum(recognition.label is None for recognition, _ in found),
            "labelled": len(labelled),
            "right": sum(recognition.label == label for recognition, label in labelled),
            "nearest_right": sum(recognition.nearest == label for recognition, label in labelled),
        }


def open_session(model: Recognizer, folder: Path, exemplars: Path | None) -> Session:
    """Enrol the recordings in `exemplars`, or those that the model in `folder` was saved with.

    Raises:
        InputError: there are no exemplars, or the model has no record of how raw files are read.
    """
    if model.data is None:
        raise InputError(
            f"{folder}: the model was saved by an older version without the way its files are read: give its search "
            "space, --space NAME or FILE"
        )
    raw = RawFiles(model.data, model.matching.layout, exemplars)
    if exemplars is None:
        saved = read_exemplars(folder)
        if saved is None:
            raise InputError(
                f"{folder}: the model was saved without exemplars: give --exemplars DIR, one file per action"
            )
        session = Session(model, raw, saved, frozenset())
    else:
        if not exemplars.is_dir():
            raise InputError(f"--exemplars {exemplars}: is not a folder")
        recordings, broken = exemplars_in(raw, exemplars)
        saved = SavedExemplars.of(recordings)
        files = raw.without_duplicates(raw.find(exemplars))
        session = Session(model, raw, saved, frozenset(file.path.resolve() for file in files), broken)
    model.enrol_signals(saved.signals, saved.labels)
    return session


def find_inputs(session: Session, given: Sequence[Path]) -> tuple[list[RawFile], int]:
    """The files of the inputs without exemplars, and the number of exemplars left out.

    Raises:
        InputError: an input does not exist or holds no file, or all are exemplars.
    """
    files = session.raw.without_duplicates([file for path in given for file in session.raw.find(path)])
    others = [file for file in files if file.path.resolve() not in session.exemplar_files]
    if not others:
        raise InputError(f"{given[0]}: contains only exemplars; give other recordings to recognise")
    return others, len(files) - len(others)


# ------------------------------------------------------------------------------------------------- for a person


def opening_lines(session: Session, num_exemplars: int) -> list[str]:
    """Lines printed before the first input: model, exemplars, threshold."""
    model = session.model
    assert model.gallery is not None
    actions = model.gallery.actions
    shown = ", ".join(actions[:_MAX_ACTIONS_SHOWN]) + (" …" if len(actions) > _MAX_ACTIONS_SHOWN else "")
    lines = [
        f"model: {describe_model(model)}",
        *(f"left out: {one.file.path}: {one.reason}" for one in session.broken_exemplars),
        f"{len(actions)} actions enrolled by {len(session.exemplars.labels)} recordings: {shown}",
    ]
    if model.threshold < 1.0:
        lines.append(f"unknown: ratio of nearest to second-nearest distance above {model.threshold:.3f}")
    if num_exemplars:
        lines.append(f"{num_exemplars} of the inputs left out (exemplars)")
    return lines


def describe_model(model: Recognizer) -> str:
    """A short description of a model and its origin."""
    origin, matching = model.origin, model.matching
    kind = {"raw_1nn": "raw 1-NN, without training", "dtw_1nn": "dynamic time warping, without training"}.get(
        matching.kind, model.encoder_config.name if model.encoder_config is not None else "encoder"
    )
    if matching.kind == "encoder" and origin.get("kind") == "training_free":
        kind += ", untrained"
    source = [f"search {origin['search']}"] if origin.get("search") else []
    source += [str(origin["trial_id"])] if origin.get("trial_id") else []
    return kind + (f" (from {', '.join(source)})" if source else "")


def input_line(result: InputResult) -> str:
    """The result of an input, or why it has none."""
    found = result.recognition
    if found is None:
        return f"{result.file.path}: left out: {result.reason}"
    name = found.label if found.label is not None else f"unknown (nearest {found.nearest})"
    line = f"{result.file.path}: {name}  distance {found.distance:.4g}  ratio {found.ratio:.3f}"
    return line + (f"  (is {result.true_label})" if result.true_label not in (None, found.label) else "")


def closing_lines(counts: dict[str, int], latency: Latency) -> list[str]:
    """Counts over all inputs, and the latency."""
    good = counts["inputs"] - counts["broken"]
    lines = [
        f"{good} recordings: {counts['named']} recognised, {counts['unknown']} unknown; {counts['broken']} files could "
        "not be read"
    ]
    if counts["labelled"]:
        total = counts["labelled"]
        line = f"correct: {counts['right']} of {total} ({counts['right'] / total:.3f})"
        if counts["nearest_right"] != counts["right"]:
            line += f"; without the threshold: {counts['nearest_right']} ({counts['nearest_right'] / total:.3f})"
        lines.append(line)
    return [*lines, *latency_lines(latency)]


def as_json(session: Session, folder: Path, latency: Latency, started: float) -> Json:
    """The results as plain values for one JSON object."""
    model = session.model
    enrolled = zip(session.exemplars.names, session.exemplars.labels, strict=True)
    return {
        "model": str(folder),
        "origin": model.origin,
        "threshold": model.threshold,
        "enrolled": [{"name": name, "label": label} for name, label in enrolled],
        "recordings": [r.to_json() for r in session.results if r.recognition is not None],
        "broken": [
            *({"file": str(one.file.path), "reason": one.reason} for one in session.broken_exemplars),
            *(r.to_json() for r in session.results if r.recognition is None),
        ],
        "counts": session.counts(),
        "latency": latency.model_dump(exclude_none=True),
        "seconds": round(time.time() - started, 3),
    }
