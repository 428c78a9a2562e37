"""A saved model under a protocol: one exemplar of each novel class, every other recording of these classes named.

Beside it stand the ways that need no training, raw 1-NN and dynamic time warping, on the same exemplars and queries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from sldml.config.data import DataConfig
from sldml.config.protocol import ProtocolConfig
from sldml.config.representation import NormalizeConfig
from sldml.config.space_file import override, parse_space, read_space
from sldml.embedding.view import View
from sldml.errors import InputError, listed
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet, prepare
from sldml.prepared.writing import Progress
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Split
from sldml.recognition.latency import evenly, latency_lines, measure_latency
from sldml.recognition.matching import Matching
from sldml.recognition.one_shot import describe_predictions
from sldml.recognition.recognizer import Recognizer
from sldml.recognition.saved_exemplars import SavedExemplars
from sldml.recordings.sources import describe
from sldml.search.environment import describe_environment

_FREE = ("raw_1nn", "dtw_1nn")
_WORDS = {"raw_1nn": "raw 1-NN", "dtw_1nn": "DTW 1-NN"}


@dataclass(frozen=True)
class Task:
    """What a model is to be evaluated on."""

    data: DataConfig
    protocol: ProtocolConfig


def task_of(model: Recognizer, folder: Path, space: str | None, settings: Sequence[str]) -> Task:
    """The model's own recordings and protocol, or those of a search space, with `dotted.path=value` settings over them.

    Raises:
        InputError: the model does not say what its own are, or a setting is wrong or concerns neither of them.
    """
    for setting in settings:
        if not setting.startswith(("data.", "protocol.")):
            raise InputError(f"--set {setting}: of a saved model, only data.… and protocol.… can be set")
    if space is not None:
        config = read_space(space, settings).default_config()
        return Task(config.data, config.protocol)
    protocol = model.origin.get("protocol")
    if model.data is None or protocol is None:
        raise InputError(
            f"{folder}: the model was saved by an older version and does not name its recordings and protocol: give "
            "the search space that it was found with, --space NAME or FILE"
        )
    data = model.data.model_dump(mode="json", exclude_none=True)
    body: dict[str, Any] = {"data": data, "protocol": protocol}
    if model.matching.layout.picture_rows:
        body["representation"] = {"name": "image", "steps": model.matching.layout.picture_rows}
    config = override(parse_space(json.dumps(body), "model", f"{folder}/model.json"), settings).default_config()
    return Task(config.data, config.protocol)


def evaluate(model: Recognizer, task: Task, data: Path | None, cache: Path, progress: Progress) -> dict[str, Any]:
    """Prepare (or find) the recordings, and score the model on the novel classes of the protocol.

    Args:
        model: On the device where it is to work.
        task: Recordings and protocol.
        data: Folder of raw datasets.
        cache: Folder of prepared sets.
        progress: Told how far the preparation is.

    Returns:
        Plain values: `accuracy` with its `ci95`, `per_class`, `confusion`, `threshold` (what "unknown" does to it),
        `baselines`, `latency`, `warnings`, and what was evaluated on what.

    Raises:
        InputError: no raw data, a protocol that does not fit it, or recordings of other rows than the model's.
    """
    prepared = prepare(task.data, data, cache, progress=progress)
    split = make_split(task.protocol, prepared.catalog)
    _require_same_rows(model, prepared, split)
    frames = Frames.open(prepared.folder, model.device)
    exemplars, queries = View(frames, split.sealed.exemplars), View(frames, split.sealed.queries)
    distances = model.matching.between(exemplars, queries).cpu().numpy()
    predicted = exemplars.labels[distances.argmin(axis=0)]
    found = describe_predictions(queries.labels, predicted, exemplars.classes)
    return {
        "origin": model.origin,
        "data": describe(task.data),
        "prepared": prepared.hash,
        "protocol": {"description": split.description, **task.protocol.model_dump(mode="json", exclude_none=True)},
        "split": split.hash,
        "num_classes": len(exemplars.classes),
        "num_queries": len(queries),
        "num_refused": len(prepared.meta["refused"]),
        "notes": [*prepared.meta["notes"], *split.notes],
        "warnings": seen_in_training(model, task, exemplars.classes),
        **found,
        "ci95": list(wilson(round(found["accuracy"] * len(queries)), len(queries))),
        "threshold": _with_threshold(model.threshold, distances, predicted == queries.labels),
        "baselines": {name: _baseline(name, model, exemplars, queries) for name in _FREE},
        "latency": _latency(model, exemplars, queries),
        "environment": describe_environment(),
    }


def seen_in_training(model: Recognizer, task: Task, novel: Sequence[str]) -> list[str]:
    """A line that warns where what is called novel was not new to the model, or nobody knows; else nothing."""
    if model.origin.get("kind") == "training_free":
        return []
    trained_on = model.origin.get("train_classes")
    if trained_on is None:
        return ["the model does not say which classes it was trained on: the novel ones may have been among them"]
    if model.data is not None and model.data.dataset != task.data.dataset:
        return []
    if both := [label for label in novel if label in trained_on]:
        return [
            f"{len(both)} of {len(novel)} novel classes were among those that the model was trained on "
            f"({listed(both)}): on them, this accuracy is not one of one-shot recognition"
        ]
    return []


def wilson(right: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share after Wilson (1927), the queries being taken as independent of one another."""
    interval = scipy.stats.binomtest(right, of).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _require_same_rows(model: Recognizer, prepared: PreparedSet, split: Split) -> None:
    seen = model.matching.layout
    try:
        there = prepared.layout.part(split.sealed.exemplars.rows)
    except ValueError as error:
        raise InputError(f"{split.description}: {error}") from error
    if there != seen:
        raise InputError(
            f"the model sees {seen.num_rows} rows ({seen.row_names[0]} …), but these recordings have {there.num_rows} "
            f"({there.row_names[0]} …): choose the data that it was made for (--space, --set data.…)"
        )


def _with_threshold(threshold: float, distances: NDArray[np.float32], right: NDArray[np.bool_]) -> dict[str, Any]:
    """How many queries are named at all with the model's threshold, and how many of these are right."""
    lowest = np.partition(np.maximum(distances, 0.0), 1, axis=0)[:2]
    named = lowest[0] / np.maximum(lowest[1], 1e-12) <= threshold
    return {"ratio": threshold, "named": int(named.sum()), "right": int((named & right).sum())}


def _baseline(name: str, model: Recognizer, exemplars: View, queries: View) -> dict[str, Any]:
    """A training-free way, normalised as validation of the model's search liked best, else as the model is."""
    normalization = model.origin.get("baselines", {}).get(name, model.matching.normalize.model_dump())
    matching = Matching(
        "raw_1nn" if name == "raw_1nn" else "dtw_1nn",
        model.matching.layout,
        NormalizeConfig.model_validate(normalization),
    )
    distances = matching.between(exemplars, queries).cpu().numpy()
    right = int((exemplars.labels[distances.argmin(axis=0)] == queries.labels).sum())
    total = len(queries)
    return {"accuracy": right / total, "ci95": list(wilson(right, total)), "normalize": normalization}


def _latency(model: Recognizer, exemplars: View, queries: View) -> dict[str, Any]:
    kept = SavedExemplars.of_view(exemplars)
    enrolled = model.emptied()
    enrolled.enrol_signals(kept.signals, kept.labels)
    return measure_latency(enrolled, kept.signals, [queries.recorded(i) for i in evenly(len(queries))])


# ------------------------------------------------------------------------------------------------- for a person


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """What a person reads of an evaluation."""
    right = round(found["accuracy"] * found["num_queries"])
    protocol, threshold = found["protocol"], found["threshold"]
    lines = [
        *(f"note: {note}" for note in found["notes"]),
        f"protocol: {protocol['description']}, {found['num_queries']} queries",
        *(f"warning: {warning}" for warning in found["warnings"]),
        "",
        *_class_lines(found["confusion"]["labels"], np.array(found["confusion"]["matrix"])),
        "",
        f"one-shot accuracy {_share(found)}, {right} of {found['num_queries']}; 95 % after Wilson",
    ]
    if threshold["ratio"] < 1.0:
        named = threshold["named"]
        lines.append(
            f'with "unknown" above the ratio {threshold["ratio"]:.3f}: {named} named, of which {threshold["right"]} '
            f"right ({threshold['right'] / max(1, named):.3f})"
        )
    for name, baseline in found["baselines"].items():
        lines.append(f"without training, {_WORDS[name]}: {_share(baseline)}")
    return [*lines, *latency_lines(found["latency"])]


def _share(found: Mapping[str, Any]) -> str:
    low, high = found["ci95"]
    return f"{found['accuracy']:.3f} [{low:.3f}, {high:.3f}]"


def _class_lines(labels: Sequence[str], matrix: NDArray[np.int64]) -> list[str]:
    """A table: each class, how many of its queries are right, and what it is taken for most often."""
    width = max(len("class"), *(len(label) for label in labels))
    lines = [f"{'class':<{width}}  right  queries  share  taken for"]
    for place, label in enumerate(labels):
        row = matrix[place]
        total, wrong = int(row.sum()), row.copy()
        wrong[place] = 0
        order = [int(c) for c in np.argsort(-wrong, kind="stable")[:3] if wrong[c]]
        taken = ", ".join(f"{labels[c]} {wrong[c]}" for c in order)
        share = f"{row[place] / total:.3f}" if total else "  -  "
        lines.append(f"{label:<{width}}  {row[place]:>5}  {total:>7}  {share}  {taken}".rstrip())
    return lines
