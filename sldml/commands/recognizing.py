"""Raw files through a saved model: enrolled, named, counted and timed, for a person or as plain values."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sldml.errors import InputError
from sldml.recognition.latency import evenly, latency_lines, measure_latency, percentile_ms, timed
from sldml.recognition.recognizer import Recognition, Recognizer
from sldml.recognition.saved_exemplars import SavedExemplars, read_exemplars
from sldml.recordings.given_files import RawFile, RawFiles, ReadFile, exemplars_in, told_label

_AT_ONCE = 256
"""So many recordings are named together, so that a person need not wait for the last one to see the first."""
_MOST_ACTIONS_SHOWN = 20


@dataclass(frozen=True)
class Named:
    """One input and what it was taken for."""

    file: RawFile
    found: Recognition | None
    """None of a file that holds no recording."""
    reason: str = ""
    """Why it holds none."""
    said: str | None = None
    """Which of the enrolled actions the file is said to show."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        if self.found is None:
            return {"file": str(self.file.path), "reason": self.reason}
        found = self.found
        return {
            "file": str(self.file.path),
            "label": found.label,
            "nearest": found.nearest,
            "distance": found.distance,
            "ratio": found.ratio,
            "said": self.said,
        }


@dataclass
class Session:
    """One use of a model: what is enrolled, and what came of the inputs."""

    model: Recognizer
    raw: RawFiles
    exemplars: SavedExemplars
    places: frozenset[Path]
    """Files that are exemplars: as inputs they would name themselves."""
    broken_exemplars: list[ReadFile] = field(default_factory=list)
    named: list[Named] = field(default_factory=list)

    def recognise(self, files: Sequence[RawFile]) -> Iterator[Named]:
        """Read and name files, in order."""
        waiting: list[ReadFile] = []
        for read in self.raw.read(files):
            waiting.append(read)
            if len(waiting) == _AT_ONCE:
                yield from self._name(waiting)
                waiting = []
        yield from self._name(waiting)

    def _name(self, read: Sequence[ReadFile]) -> Iterator[Named]:
        assert self.model.gallery is not None
        recordings = [one.recording for one in read if one.recording is not None]
        found = iter(self.model.recognize(recordings))
        for one in read:
            if one.recording is None:
                named = Named(one.file, None, one.reason)
            else:
                named = Named(one.file, next(found), said=told_label(one, self.model.gallery.actions))
            self.named.append(named)
            yield named

    def latency(self) -> dict[str, Any]:
        """`measure_latency` on some inputs, and what reading their files takes."""
        good = [named.file for named in self.named if named.found is not None]
        signals = []

        def read(file: RawFile) -> None:
            signals.append(self.raw.read_one(file).values)

        reading = timed([good[place] for place in evenly(len(good))], read)
        return {
            **measure_latency(self.model, self.exemplars.signals, signals),
            "read_ms_per_recording": percentile_ms(reading, 50),
            "read_ms_p95": percentile_ms(reading, 95),
        }

    def counts(self) -> dict[str, int]:
        """Of the inputs: all, broken, named, unknown; those said to show an enrolled action, and of them the right."""
        good = [named for named in self.named if named.found is not None]
        said = [named for named in good if named.said is not None]
        found = [(named.found, named.said) for named in said]
        return {
            "inputs": len(self.named),
            "broken": len(self.named) - len(good),
            "named": sum(named.found is not None and named.found.label is not None for named in good),
            "unknown": sum(named.found is not None and named.found.label is None for named in good),
            "labelled": len(said),
            "right": sum(f is not None and f.label == label for f, label in found),
            "nearest_right": sum(f is not None and f.nearest == label for f, label in found),
        }


def begin(model: Recognizer, folder: Path, exemplars: Path | None) -> Session:
    """Enrol the recordings in `exemplars`, or those that the model in `folder` was saved with.

    Raises:
        InputError: there are none, or the model does not say how raw files are read.
    """
    if model.data is None:
        raise InputError(
            f"{folder}: the model was saved by an older version and does not say how raw files are read: give the "
            "search space that it was found with, --space NAME or FILE"
        )
    raw = RawFiles(model.data, model.matching.layout, exemplars)
    if exemplars is None:
        kept = read_exemplars(folder)
        if kept is None:
            raise InputError(
                f"{folder}: the model was saved without exemplars: give --exemplars DIR, one file per action"
            )
        session = Session(model, raw, kept, frozenset())
    else:
        if not exemplars.is_dir():
            raise InputError(f"--exemplars {exemplars}: is no folder")
        recordings, broken = exemplars_in(raw, exemplars)
        kept = SavedExemplars.of(recordings)
        files = raw.one_each(raw.find(exemplars))
        session = Session(model, raw, kept, frozenset(file.path.resolve() for file in files), broken)
    model.enrol_signals(kept.signals, kept.labels)
    return session


def inputs_of(session: Session, given: Sequence[Path]) -> tuple[list[RawFile], int]:
    """The files that the inputs mean, less those that are exemplars, and how many these are.

    Raises:
        InputError: one of the inputs is not there or holds no file, or all of them are exemplars.
    """
    files = session.raw.one_each([file for path in given for file in session.raw.find(path)])
    others = [file for file in files if file.path.resolve() not in session.places]
    if not others:
        raise InputError(f"{given[0]}: holds nothing but exemplars; give other recordings to be named")
    return others, len(files) - len(others)


# ------------------------------------------------------------------------------------------------- for a person


def opening_lines(session: Session, num_exemplars: int) -> list[str]:
    """What is used, before the first input is named."""
    model = session.model
    assert model.gallery is not None
    actions = model.gallery.actions
    shown = ", ".join(actions[:_MOST_ACTIONS_SHOWN]) + (" …" if len(actions) > _MOST_ACTIONS_SHOWN else "")
    lines = [
        f"model: {model_words(model)}",
        *(f"left out: {one.file.path}: {one.reason}" for one in session.broken_exemplars),
        f"{len(actions)} actions enrolled by {len(session.exemplars.labels)} recordings: {shown}",
    ]
    if model.threshold < 1.0:
        lines.append(
            f"unknown: where the nearest action is not nearer than {model.threshold:.3f} times the second nearest"
        )
    if num_exemplars:
        lines.append(f"{num_exemplars} of the inputs left out: they are exemplars")
    return lines


def model_words(model: Recognizer) -> str:
    """What a model is and where it comes from, in a few words."""
    origin, matching = model.origin, model.matching
    what = {"raw_1nn": "raw 1-NN, without training", "dtw_1nn": "dynamic time warping, without training"}.get(
        matching.kind, model.encoder_config.name if model.encoder_config is not None else "encoder"
    )
    if matching.kind == "encoder" and origin.get("kind") == "training_free":
        what += ", untrained"
    source = [f"search {origin['search']}"] if origin.get("search") else []
    source += [str(origin["trial_id"])] if origin.get("trial_id") else []
    return what + (f" (from {', '.join(source)})" if source else "")


def input_line(named: Named) -> str:
    """One input: its name, or why it has none."""
    if named.found is None:
        return f"{named.file.path}: left out: {named.reason}"
    found = named.found
    name = found.label if found.label is not None else f"unknown (nearest {found.nearest})"
    line = f"{named.file.path}: {name}  distance {found.distance:.4g}  ratio {found.ratio:.3f}"
    return line + (f"  (is {named.said})" if named.said not in (None, found.label) else "")


def closing_lines(counts: dict[str, int], latency: dict[str, Any]) -> list[str]:
    """What came of all inputs, and how long one takes."""
    good = counts["inputs"] - counts["broken"]
    lines = [
        f"{good} recordings: {counts['named']} named, {counts['unknown']} unknown; {counts['broken']} left out as "
        "broken"
    ]
    if counts["labelled"]:
        of = counts["labelled"]
        line = f"right: {counts['right']} of {of} ({counts['right'] / of:.3f})"
        if counts["nearest_right"] != counts["right"]:
            line += f"; of the nearest, known or not: {counts['nearest_right']} ({counts['nearest_right'] / of:.3f})"
        lines.append(line)
    return [*lines, *latency_lines(latency)]


def as_json(session: Session, folder: Path, latency: dict[str, Any], started: float) -> dict[str, Any]:
    """Everything, as plain values for one JSON object."""
    model = session.model
    enrolled = zip(session.exemplars.names, session.exemplars.labels, strict=True)
    return {
        "model": str(folder),
        "origin": model.origin,
        "threshold": model.threshold,
        "enrolled": [{"name": name, "label": label} for name, label in enrolled],
        "recordings": [named.to_json() for named in session.named if named.found is not None],
        "broken": [
            *({"file": str(one.file.path), "reason": one.reason} for one in session.broken_exemplars),
            *(named.to_json() for named in session.named if named.found is None),
        ],
        "counts": session.counts(),
        "latency": latency,
        "seconds": round(time.time() - started, 3),
    }
