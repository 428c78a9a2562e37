"""The contents of a prepared set, as lines of text."""

from __future__ import annotations

import textwrap

import pandas as pd

from sldml.config.data import DataConfig
from sldml.prepared.prepared_set import PreparedSet
from sldml.recordings.naming import natural_key
from sldml.recordings.sources import describe_data

_MOST_REFUSED_SHOWN = 20
_WIDTH = 110
_NO_BREAK = "\N{NO-BREAK SPACE}"
"""Keeps a name and its count on one line."""


def prepared_summary_lines(prepared: PreparedSet, config: DataConfig) -> list[str]:
    """Counts per class and subject, lengths, files left out with their reasons, notes, and the folder."""
    catalog, meta, layout = prepared.catalog, prepared.meta, prepared.layout
    lengths, seconds = catalog["length"], catalog["length"] / catalog["rate_hz"]
    body = f"{layout.num_bodies} x {layout.skeleton.name}" if layout.skeleton else "no body"
    if layout.image_rows > 0:  # no rate and no subjects
        lines = [
            f"{describe_data(config)}: {meta['num_recordings']} images of {lengths.max()} x {layout.image_rows} px",
            *_count_lines("roles", catalog["role"]),
            *_count_lines("classes", catalog["label"]),
        ]
    else:
        lines = [
            f"{describe_data(config)}: {meta['num_recordings']} recordings, {meta['num_frames']} frames of "
            f"{layout.num_rows} rows ({body}, {len(layout.sensors)} sensors)",
            f"length: {lengths.min()} to {lengths.max()} frames, median {lengths.median():g}; {seconds.min():.1f} to "
            f"{seconds.max():.1f} s, {seconds.sum() / 60:.0f} min in all",
            *_count_lines("classes", catalog["label"]),
            *_count_lines("subjects", catalog["subject"]),
        ]
    refused = meta["refused"]
    lines.append(f"unreadable files left out: {len(refused)}")
    lines += [f"  {entry['file']}: {entry['reason']}" for entry in refused[:_MOST_REFUSED_SHOWN]]
    if len(refused) > _MOST_REFUSED_SHOWN:
        lines.append(f"  {len(refused) - _MOST_REFUSED_SHOWN} more, see {prepared.folder / 'meta.json'}")
    lines += [f"note: {note}" for note in meta["notes"]]
    return [*lines, f"prepared set: {prepared.folder}"]


def _count_lines(what: str, values: pd.Series) -> list[str]:
    """The number of recordings of each value, given once if it is the same for all."""
    counts = values.value_counts()
    names = sorted(counts.index, key=natural_key)
    each = f", {counts.iloc[0]} recordings each" if counts.nunique() == 1 else ""
    listed = ", ".join(name if each else f"{name}{_NO_BREAK}{counts[name]}" for name in names)
    lines = textwrap.wrap(f"{len(names)} {what}{each}: {listed}", _WIDTH, subsequent_indent="  ")
    return [line.replace(_NO_BREAK, " ") for line in lines]
