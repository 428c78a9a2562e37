"""Evaluation of a saved model under a protocol: one exemplar per novel class, all other recordings are queries.

The baselines without training, raw 1-NN and dynamic time warping, are scored on the same exemplars and queries.
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
from sldml.journal import Latency
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet, prepare
from sldml.prepared.writing import Progress
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Split
from sldml.recognition.latency import evenly, latency_lines, measure_latency
from sldml.recognition.matching import Matching
from sldml.recognition.one_shot import score_predictions
from sldml.recognition.recognizer import Recognizer
from sldml.recognition.saved_exemplars import SavedExemplars
from sldml.recordings.sources import describe_data
from sldml.report.files import Json
from sldml.search.environment import describe_environment

_BASELINES = {"raw_1nn": "raw 1-NN", "dtw_1nn": "DTW 1-NN"}


@dataclass(frozen=True)
class Task:
    """The recordings and the protocol of an evaluation."""

    data: DataConfig
    protocol: ProtocolConfig


def evaluation_task(model: Recognizer, folder: Path, space: str | None, settings: Sequence[str]) -> Task:
    """The recordings and protocol of the model or of a search space, changed by `dotted.path=value` settings.

    Raises:
        InputError: the model has no record of its own, or a setting is wrong or not under data or protocol.
    """
    for setting in settings:
        if not setting.startswith(("data.", "protocol.")):
            raise InputError(f"--set {setting}: only data.… and protocol.… can be set for a saved model")
    if space is not None:
        config = read_space(space, settings).default_config()
        return Task(config.data, config.protocol)
    protocol = model.origin.get("protocol")
    if model.data is None or protocol is None:
        raise InputError(
            f"{folder}: the model was saved by an older version without its recordings and protocol: give its search "
            "space, --space NAME or FILE"
        )
    data = model.data.model_dump(mode="json", exclude_none=True)
    body: Json = {"data": data, "protocol": protocol}
    if model.matching.layout.image_rows:
        body["representation"] = {"name": "image", "steps": model.matching.layout.image_rows}
    config = override(parse_space(json.dumps(body), "model", f"{folder}/model.json"), settings).default_config()
    return Task(config.data, config.protocol)


def evaluate_model(
    model: Recognizer, task: Task, data: Path | None, cache: Path, progress: Progress, checking: Progress
) -> Json:
    """Prepare (or find) the recordings and score the model on the novel classes of the protocol.

    Args:
        model: A model on the device to use.
        task: Recordings and protocol.
        data: Folder of raw datasets.
        cache: Folder of prepared sets.
        progress: Called with the progress of the preparation.
        checking: Called with the progress of checking a prepared set.

    Returns:
        Plain values: `accuracy` with its `ci95`, `per_class`, `confusion`, `threshold` (its effect),
        `baselines`, `latency`, `warnings`, and descriptions of model, data and protocol.

    Raises:
        InputError: no raw data, a protocol that does not fit it, or recordings with other rows than the model's.
    """
    prepared = prepare(task.data, data, cache, progress=progress, checking=checking)
    split = make_split(task.protocol, prepared.catalog)
    _require_same_rows(model, prepared, split)
    frames = Frames.open(prepared.folder, model.device)
    exemplars, queries = View(frames, split.sealed.exemplars), View(frames, split.sealed.queries)
    distances = model.matching.between(exemplars, queries).cpu().numpy()
    predicted = exemplars.labels[distances.argmin(axis=0)]
    found = score_predictions(queries.labels, predicted, exemplars.classes)
    return {
        "origin": model.origin,
        "data": describe_data(task.data),
        "prepared": prepared.hash,
        "protocol": {"description": split.description, **task.protocol.model_dump(mode="json", exclude_none=True)},
        "split": split.hash,
        "num_classes": len(exemplars.classes),
        "num_queries": len(queries),
        "num_refused": len(prepared.meta["refused"]),
        "notes": [*prepared.meta["notes"], *split.notes],
        "warnings": seen_in_training(model, task, exemplars.classes),
        "accuracy": found.accuracy,
        "per_class": found.per_class,
        "confusion": found.confusion.model_dump(mode="json"),
        "ci95": list(wilson(round(found.accuracy * len(queries)), len(queries))),
        "threshold": _with_threshold(model.threshold, distances, predicted == queries.labels),
        "baselines": {name: _baseline(name, model, exemplars, queries) for name in _BASELINES},
        "latency": _latency(model, exemplars, queries).model_dump(exclude_none=True),
        "environment": describe_environment().model_dump(exclude_none=True),
    }


def seen_in_training(model: Recognizer, task: Task, novel: Sequence[str]) -> list[str]:
    """A warning if the model was trained on some of the novel classes, or if that is unknown."""
    if model.origin.get("kind") == "training_free":
        return []
    trained_on = model.origin.get("train_classes")
    if trained_on is None:
        return ["the model has no record of its training classes: the novel classes may be among them"]
    if model.data is not None and model.data.dataset != task.data.dataset:
        return []
    if both := [label for label in novel if label in trained_on]:
        return [
            f"the model was trained on {len(both)} of the {len(novel)} novel classes ({listed(both)}): on these, the "
            "accuracy does not measure one-shot recognition"
        ]
    return []


def wilson(correct: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a proportion after Wilson (1927), for independent queries."""
    interval = scipy.stats.binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _require_same_rows(model: Recognizer, prepared: PreparedSet, split: Split) -> None:
    expected = model.matching.layout
    try:
        found = prepared.layout.part(split.sealed.exemplars.rows)
    except ValueError as error:
        raise InputError(f"{split.description}: {error}") from error
    if found != expected:
        raise InputError(
            f"the model expects {expected.num_rows} rows ({expected.row_names[0]} …), but these recordings have "
            f"{found.num_rows} ({found.row_names[0]} …): choose matching data (--space, --set data.…)"
        )


def _with_threshold(threshold: float, distances: NDArray[np.float32], right: NDArray[np.bool_]) -> Json:
    """Number of queries below the model's threshold, and how many of these are recognised correctly."""
    lowest = np.partition(np.maximum(distances, 0.0), 1, axis=0)[:2]
    named = lowest[0] / np.maximum(lowest[1], 1e-12) <= threshold
    return {"ratio": threshold, "named": int(named.sum()), "right": int((named & right).sum())}


def _baseline(name: str, model: Recognizer, exemplars: View, queries: View) -> Json:
    """A baseline, with the normalisation that was best in validation of the model's search, else with the model's."""
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


def _latency(model: Recognizer, exemplars: View, queries: View) -> Latency:
    kept = SavedExemplars.of_view(exemplars)
    enrolled = model.emptied()
    enrolled.enrol_signals(kept.signals, kept.labels)
    return measure_latency(enrolled, kept.signals, [queries.recorded(i) for i in evenly(len(queries))])


# ------------------------------------------------------------------------------------------------- for a person


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
        lines.append(f"baseline {_BASELINES[name]}: {_with_interval(baseline)}")
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
