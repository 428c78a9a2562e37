"""An evaluation as text: lines for a person, and a table of the queries."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sldml.journal import Latency
from sldml.recognition.latency import latency_lines
from sldml.report.files import Json
from sldml.report.shipped import baseline_name


def evaluation_lines(found: Mapping[str, Any]) -> list[str]:
    """The result of `evaluate_model` as lines of text."""
    right = round(found["accuracy"] * found["num_queries"])
    protocol, threshold = found["protocol"], found["threshold"]
    lines = [
        *(f"note: {note}" for note in found["notes"]),
        f"protocol: {protocol['description']}, {found['num_queries']} queries",
        *(f"warning: {warning}" for warning in found["warnings"]),
        "",
        *_class_lines(found["confusion"]["labels"], np.array(found["confusion"]["matrix"])),
        "",
        f"one-shot accuracy {_with_interval(found)}, {right} of {found['num_queries']}; 95 % Wilson interval",
    ]
    if threshold["ratio"] < 1.0:
        named = threshold["named"]
        lines.append(
            f'with "unknown" above the ratio {threshold["ratio"]:.3f}: {named} recognised, {threshold["right"]} '
            f"of them correctly ({threshold['right'] / max(1, named):.3f})"
        )
    for name, baseline in found["baselines"].items():
        lines.append(f"baseline {baseline_name(name)}: {_with_interval(baseline)}")
    if found["against_sentence"] is not None:
        lines.append(f"difference: {found['against_sentence']}")
    return [*lines, *latency_lines(Latency.model_validate(found["latency"]))]


def _with_interval(found: Mapping[str, Any]) -> str:
    low, high = found["ci95"]
    return f"{found['accuracy']:.3f} [{low:.3f}, {high:.3f}]"


def _class_lines(labels: Sequence[str], matrix: NDArray[np.int64]) -> list[str]:
    """A table: for each class, the correct queries and the classes that it is most often confused with."""
    width = max(len("class"), *(len(label) for label in labels))
    lines = [f"{'class':<{width}}  right  queries  share  confused with"]
    for index, label in enumerate(labels):
        row = matrix[index]
        total, wrong = int(row.sum()), row.copy()
        wrong[index] = 0
        order = [int(c) for c in np.argsort(-wrong, kind="stable")[:3] if wrong[c]]
        confused = ", ".join(f"{labels[c]} {wrong[c]}" for c in order)
        share = f"{row[index] / total:.3f}" if total else "  -  "
        lines.append(f"{label:<{width}}  {row[index]:>5}  {total:>7}  {share}  {confused}".rstrip())
    return lines


def queries_csv(queries: Sequence[Json]) -> str:
    """The queries of `evaluate_model` as CSV, one line each under a line of names."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(queries[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(queries)
    return file.getvalue()
