"""Evaluation of a saved model under a protocol: one exemplar per novel class, all other recordings are queries.

Baselines without training, among them raw 1-NN and dynamic time warping, are scored on the same exemplars and queries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from sldml.config.data import DataConfig
from sldml.config.protocol import ProtocolConfig
from sldml.config.space_file import override, parse_space, read_space
from sldml.embedding.view import View
from sldml.errors import InputError, listed
from sldml.journal import Candidate, Latency
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet, prepare
from sldml.prepared.writing import Progress
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Split
from sldml.recognition.against import against_baseline
from sldml.recognition.baselines import baseline_matching
from sldml.recognition.latency import evenly, measure_latency
from sldml.recognition.one_shot import score_predictions
from sldml.recognition.recognizer import Recognizer
from sldml.recognition.saved_exemplars import SavedExemplars
from sldml.recordings.sources import describe_data
from sldml.report.files import Json
from sldml.report.shipped import difference_sentence
from sldml.search.environment import describe_environment

_BASELINES = ("raw_1nn", "dtw_1nn")
"""Scored with every model. The best baseline of the model's search is scored too; it may have an untrained encoder."""


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
        `baselines`, `against` (the difference of a trained model to the best baseline, see `_best_baseline`) and
        `against_sentence`, `latency`, `warnings`, descriptions of model, data and protocol, and `queries`: for each
        query `recording`, `label`, `predicted`, `distance`, `ratio`, and the prediction of each baseline by its name.

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
    nearest, second = np.partition(np.maximum(distances, 0.0), 1, axis=0)[:2]
    ratios = nearest / np.maximum(second, 1e-12)
    baselines = _baselines(model)
    by_baseline = {name: _predicted(candidate, exemplars, queries) for name, candidate in baselines.items()}
    best, notes = _best_baseline(model, by_baseline, queries.labels)
    against = None if best is None else against_baseline(baselines[best], predicted, by_baseline[best], queries.labels)
    return {
        "origin": model.origin,
        "data": describe_data(task.data),
        "prepared": prepared.hash,
        "protocol": {"description": split.description, **task.protocol.model_dump(mode="json", exclude_none=True)},
        "split": split.hash,
        "num_classes": len(exemplars.classes),
        "num_queries": len(queries),
        "num_refused": len(prepared.meta["refused"]),
        "notes": [*prepared.meta["notes"], *split.notes, *notes],
        "warnings": seen_in_training(model, task, exemplars.classes),
        "accuracy": found.accuracy,
        "per_class": found.per_class,
        "confusion": found.confusion.model_dump(mode="json"),
        "ci95": list(wilson(round(found.accuracy * len(queries)), len(queries))),
        "threshold": _with_threshold(model.threshold, ratios, predicted == queries.labels),
        "baselines": {name: _scored(baselines[name], by_baseline[name] == queries.labels) for name in baselines},
        "against": None if against is None else against.model_dump(mode="json"),
        "against_sentence": None if against is None else difference_sentence(against, "on these queries"),
        "latency": _latency(model, exemplars, queries).model_dump(exclude_none=True),
        "environment": describe_environment().model_dump(exclude_none=True),
        "queries": _query_rows(queries, exemplars.classes, predicted, nearest, ratios, by_baseline),
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


def _with_threshold(threshold: float, ratios: NDArray[np.float32], right: NDArray[np.bool_]) -> Json:
    """Number of queries below the model's threshold, and how many of these are recognised correctly."""
    named = ratios <= threshold
    return {"ratio": threshold, "named": int(named.sum()), "right": int((named & right).sum())}


def _baselines(model: Recognizer) -> dict[str, Candidate]:
    """Baselines with the settings that were best in the model's search, else with the model's normalisation."""
    known, own = model.origin.get("baselines", {}), model.matching.normalize.model_dump()
    found = {name: Candidate(baseline=name, normalize=known.get(name, own)) for name in _BASELINES}
    if (best := model.origin.get("best_baseline")) is not None:
        candidate = Candidate.model_validate(best)
        found[candidate.baseline] = candidate
    return found


def _best_baseline(
    model: Recognizer, by_baseline: Mapping[str, NDArray[np.int64]], truth: NDArray[np.int64]
) -> tuple[str | None, list[str]]:
    """The baseline that a model is compared with, and a note if it was selected by these queries.

    It is the best one of the model's search, which did not use these queries. If the model has no record of it, it is
    the best one here. A model without training is a baseline itself and compared with none.
    """
    if model.origin.get("kind") == "training_free":
        return None, []
    if (best := model.origin.get("best_baseline")) is not None:
        return str(best["baseline"]), []
    note = (
        "the model has no record of the best baseline of its search: it is compared with the best one on these queries"
    )
    return max(by_baseline, key=lambda name: int((by_baseline[name] == truth).sum())), [note]


def _predicted(candidate: Candidate, exemplars: View, queries: View) -> NDArray[np.int64]:
    """The class of the nearest exemplar of each query [Q] by a baseline."""
    distances = baseline_matching(candidate, exemplars.layout).between(exemplars, queries).cpu().numpy()
    predicted: NDArray[np.int64] = exemplars.labels[distances.argmin(axis=0)]
    return predicted


def _scored(candidate: Candidate, right: NDArray[np.bool_]) -> Json:
    """A baseline's accuracy, with its settings."""
    settings = candidate.model_dump(mode="json", exclude={"baseline"}, exclude_none=True)
    return {"accuracy": float(right.mean()), "ci95": list(wilson(int(right.sum()), len(right))), **settings}


def _query_rows(
    queries: View,
    classes: Sequence[str],
    predicted: NDArray[np.int64],
    nearest: NDArray[np.float32],
    ratios: NDArray[np.float32],
    by_baseline: Mapping[str, NDArray[np.int64]],
) -> list[Json]:
    """The result of each query, by the name of its recording; numbers with six significant digits."""
    rows = [
        {
            "recording": name,
            "label": queries.classes[queries.labels[place]],
            "predicted": classes[predicted[place]],
            "distance": float(f"{nearest[place]:.6g}"),
            "ratio": float(f"{ratios[place]:.6g}"),
            **{baseline: classes[other[place]] for baseline, other in by_baseline.items()},
        }
        for place, name in enumerate(queries.names)
    ]
    return sorted(rows, key=lambda row: str(row["recording"]))


def _latency(model: Recognizer, exemplars: View, queries: View) -> Latency:
    kept = SavedExemplars.of_view(exemplars)
    enrolled = model.emptied()
    enrolled.enrol_signals(kept.signals, kept.labels)
    return measure_latency(enrolled, kept.signals, [queries.recorded(i) for i in evenly(len(queries))])
