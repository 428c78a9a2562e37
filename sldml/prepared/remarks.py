"""What a person should know about all recordings of a set together: notes, which no single file could give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sldml.recordings.naming import appearance, natural_key
from sldml.recordings.sources import RawSource

_SMALLEST_M, _LARGEST_M = 0.03, 10.0
"""Smaller than a hand and larger than a person with stretched arms: the unit of length is wrong."""
_MOST_TOLD = 5

Row = dict[str, Any]


@dataclass(frozen=True)
class Remarks:
    """Notes about a prepared set."""

    notes: tuple[str, ...]
    unit: str | None
    """The note about an implausible size of the bodies, if there is one; it is one of `notes`."""


def remarks_on(source: RawSource, recordings: Iterable[Row], refused: Sequence[dict[str, str]]) -> Remarks:
    """Notes about the recordings of a source.

    Args:
        source: Where they come from.
        recordings: Name, label, subject and digest of each, and `remarks` (`sldml.recordings.reading.Entry`).
        refused: The files that are no recordings.
    """
    names: list[str] = []
    labels: dict[str, int] = {}
    subjects: dict[str, int] = {}
    extents: list[float] = []
    still: list[str] = []
    firsts: dict[str, tuple[str, str]] = {}
    copies: list[str] = []
    num_copies = 0
    for row in recordings:
        names.append(row["name"])
        for counts, value in ((labels, row["label"]), (subjects, row["subject"])):
            counts[value] = counts.get(value, 0) + 1
        if row["remarks"]["extent"] is not None:
            extents.append(row["remarks"]["extent"])
        if row["remarks"]["still"]:
            still.append(row["name"])
        name, label = firsts.setdefault(row["digest"], (row["name"], row["label"]))
        # The published image folders hold copies within a class on purpose.
        if name != row["name"] and (label != row["label"] or not source.layout.image_rows):
            num_copies += 1
            kind = f"class {label}" if label == row["label"] else f"classes {label!a} and {row['label']!a}"
            copies.append(f"{row['name']} has the same values as {name} ({kind})")
    unit = _unit_note(extents)
    notes = [unit] if unit else []
    if still:
        notes.append(f"the body stands still in {len(still)} recordings, first {still[0]}")
    # Copies under two labels first.
    notes += _few(sorted(copies, key=lambda text: "(class " in text), "recordings are copies of others")
    notes += _few(_look_alikes(labels, "labels"), "pairs of labels look alike")
    notes += _few(_look_alikes(subjects, "subjects"), "pairs of subjects look alike")
    notes += _few(_lost(source, refused, names, labels), "such classes and first recordings")
    return Remarks(tuple(notes), unit)


def _unit_note(extents: Sequence[float]) -> str | None:
    typical = median(extents) if extents else 1.0
    if _SMALLEST_M <= typical <= _LARGEST_M:
        return None
    return (
        f"a body has an extent of {typical:.3g} m (median over recordings), which is implausible: correct "
        "data.format.unit, or the unit of the files"
    )


def _look_alikes(counts: dict[str, int], what: str) -> list[str]:
    """Texts that differ only in Unicode forms, invisible characters or white space."""
    groups: dict[str, list[str]] = {}
    for text in counts:
        groups.setdefault(appearance(text), []).append(text)
    return [
        f"the {what} {' and '.join(f'{text!a} ({counts[text]} recordings)' for text in sorted(group))} look alike, but "
        "are different"
        for group in groups.values()
        if len(group) > 1
    ]


def _lost(
    source: RawSource, refused: Sequence[dict[str, str]], names: Sequence[str], labels: dict[str, int]
) -> list[str]:
    """Classes without any readable recording, or without the first of a subject, which may be the exemplar."""
    rows = source.listed()
    if not rows or not refused:
        return []
    readable = set(names)
    broken: dict[str, dict[str, list[str]]] = {}
    firsts: dict[tuple[str, str], str] = {}
    for name, label, subject in rows:
        firsts[label, subject] = min(firsts.get((label, subject), name), name, key=natural_key)
        if name not in readable:
            broken.setdefault(label, {}).setdefault(subject, []).append(name)
    found = []
    for label, by_subject in broken.items():
        if label not in labels:
            num_lost = sum(map(len, by_subject.values()))
            found.append(f"class {label} is left out: none of its {num_lost} recordings can be read")
            continue
        for subject, lost in by_subject.items():
            if (first := firsts[label, subject]) in lost:
                found.append(f"the first recording of class {label} by {subject}, {first}, cannot be read")
    return found


def _few(texts: Sequence[str], what: str) -> list[str]:
    """The first texts, and how many there are in all."""
    if len(texts) <= _MOST_TOLD:
        return list(texts)
    return [*texts[:_MOST_TOLD], f"… and {len(texts) - _MOST_TOLD} more: {len(texts)} {what}"]
