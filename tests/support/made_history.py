"""A made `History`: what a search would have left, with a parameter that matters and some that do not."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from sldml.config.dotted import unflatten
from sldml.journal import (
    Accuracy,
    AttemptBegun,
    Baseline,
    BaselineScore,
    Candidate,
    ConfusedPair,
    ConfusionMatrix,
    EmbeddingMap,
    Epoch,
    FinalRecord,
    FinalResult,
    History,
    LabelledImage,
    Latency,
    MapPoint,
    SearchBegun,
    Shipped,
    StageChanged,
    TestResults,
    TrialRecord,
    TrialState,
)
from sldml.search.novel_class_figures import png

START = 1_760_000_000.0
LABELS = ["A001 drink water", "A007 throw", "A013 tear up paper", "A019 take off glasses", "A025 reach into pocket"]
HOSTILE = [
    "</script><script>document.title='pwned'</script>",
    "<img src=http://evil.example/x onerror=\"document.title='pwned'\">",
    '"><a href="http://evil.example">here</a>',
    "<b>bold</b> &amp;",
    "{{ 7 * 7 }}",
]
SEARCH: dict[str, Any] = {
    "name": "demo-20261122-133000",
    "time": START,
    "dataset": "synthetic",
    "protocol": "ntu_one_shot",
    "slots": 2,
    "max_epochs": 20,
    "space": {
        "name": "demo",
        "hash": "9f1c0a7be2d4",
        "text": "# Made data\nspace:\n  optimizer: {lr: {float: [1.0e-5, 1.0e-2], log: true}}\n",
    },
    "command": "python launch/tune.py --space demo --trials 30",
    "settings": {"trials": 30, "seed": 0, "top_k": 3, "final_seeds": 3},
    "prepared": {
        "hash": "4be1d09c77aa",
        "num_recordings": 600,
        "num_frames": 54_321,
        "num_rows": 25,
        "source": "synthetic",
        "num_refused": 2,
    },
    "split": {
        "description": "NTU one-shot: 24 training, 6 validation and 5 novel classes",
        "hash": "5a1f",
        "notes": ["The list of missing recordings was not found beside the data."],
        "train_classes": [f"A{i:03d}" for i in range(2, 26)],
        "validation_classes": ["A002", "A008", "A014", "A020", "A026", "A032"],
        "num_novel_classes": 5,
        "num_train": 288,
        "num_validation": 72,
        "num_novel": 60,
        "measure": "one_shot_accuracy",
    },
    "environment": {
        "python": "3.11.9",
        "platform": "Linux-6.1-x86_64",
        "host": "worker-1",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": True,
        "packages": {"torch": "2.9.0", "ray": "2.60.0", "optuna": "5.0.0", "mlflow": "3.17.2"},
        "device": "cpu",
        "threads": 1,
    },
}


def search_begun(**changes: Any) -> SearchBegun:
    """The first event of a made search; a mapping replaces fields of a part."""
    fields = dict(SEARCH)
    for name, value in changes.items():
        fields[name] = {**fields[name], **value} if isinstance(fields.get(name), dict) else value
    return SearchBegun.model_validate(fields)


def candidate(name: str, **normalize: str) -> Candidate:
    given = normalize or {"center": "every_frame", "scale": "torso", "view": "face_camera"}
    if not name.startswith("untrained"):
        return Candidate(baseline=name, normalize=given)
    return Candidate(
        baseline=name, normalize=given, encoder={"name": "small_cnn"}, representation={"name": "swap_axes"}
    )


def baseline(name: str, val: float, test: float | None = None, **fields: Any) -> Baseline:
    """A baseline with one candidate."""
    return Baseline(name, (BaselineScore(candidate=candidate(name), val=val, test=test, **fields),))


def made_history(
    num_trials: int = 30, *, final: bool = True, baselines: bool = True, labels: list[str] | None = None, seed: int = 0
) -> History:
    """A search on two slots in which the learning rate decides and `head.weight` does nothing."""
    rng = random.Random(seed)
    begun = search_begun(settings={"trials": num_trials})
    history = History(begun)
    history.attempts.append(
        AttemptBegun(time=START, settings=begun.settings, slots=begun.slots, environment=begun.environment)
    )
    if baselines:
        for name, val, test in (
            ("raw_1nn", 0.48, 0.41),
            ("dtw_1nn", 0.63, 0.58),
            ("untrained", 0.51, 0.44),
            ("untrained_dtw", 0.57, 0.52),
        ):
            history.baselines[name] = baseline(name, val, test if final else None, val_std=0.04)
    free_at = [START + 20, START + 20]
    for number in range(num_trials):
        slot = free_at.index(min(free_at))
        trial = _trial(f"t{number:04d}", rng, free_at[slot], f"worker-1:{4000 + slot}")
        history.trials[trial.trial_id] = trial
        free_at[slot] = (trial.ended or free_at[slot]) + 0.4
    if num_trials > 3 and not final:
        last = history.trials[f"t{num_trials - 1:04d}"]
        last.state, last.ended = "running", None
    _add_stage(history, "folds", START + 2, START + 19)
    _add_stage(history, "search", START + 19, max(free_at) if final else None)
    if final:
        _add_finals(history, rng, labels or LABELS)
    return history


def _add_stage(history: History, name: str, started: float, ended: float | None) -> None:
    history.stages.append(StageChanged(name=name, state="started", time=started))
    if ended is not None:
        history.stages.append(StageChanged(name=name, state="ended", time=ended))


def _trial(trial_id: str, rng: random.Random, started: float, worker: str) -> TrialRecord:
    loss = rng.choice(["multi_similarity", "triplet_margin", "arcface"])
    params: dict[str, Any] = {
        "optimizer.lr": 10 ** rng.uniform(-5, -2),
        "loss.name": loss,
        "head.weight": rng.uniform(0, 0.5),
        "batch.samples_per_class": rng.choice([2, 4, 8]),
    }
    if loss == "arcface":
        params["loss.arcface.scale"] = 2 ** rng.uniform(3, 7)
    else:
        params["miner.name"] = rng.choice(["none", "batch_hard"])
    # Best at a learning rate of 1e-3, falling off to both sides; nothing else counts.
    quality = 0.86 - 0.16 * abs(math.log10(params["optimizer.lr"]) + 3) + rng.gauss(0, 0.01)
    state: TrialState = "completed"
    num_epochs = 20
    draw = rng.random()
    if quality < 0.66 and draw < 0.7:
        state, num_epochs = "pruned", rng.choice([3, 9])
    elif draw > 0.95:
        state, num_epochs = "diverged", 2
    elif draw > 0.92:
        state, num_epochs = "failed", 0
    epochs: list[Epoch] = []
    for epoch in range(1, num_epochs + 1):
        value = quality * (1 - 0.6 * 0.7**epoch) + rng.gauss(0, 0.008)
        metrics = {
            "val/accuracy": value,
            "val/accuracy_std": 0.03,
            "train/loss": 1 / epoch,
            "time/data_s": 0.3,
            "time/step_s": 1.4,
            "time/evaluation_s": 0.2,
            "time/cpu_share": 0.9,
            "images_per_s": 900.0,
        }
        by_class = _by_class(trial_id, value)
        epochs.append(Epoch(epoch=epoch, metrics=metrics, worker=worker, time=started + 2 * epoch, **by_class))
    return TrialRecord(
        trial_id,
        unflatten({**params, "encoder.name": "small_cnn"}),
        started,
        state,
        epochs,
        params=params,
        ended=started + 2 * num_epochs + 0.5,
        error="CUDA out of memory" if state == "failed" else None,
    )


def _by_class(trial_id: str, value: float) -> dict[str, Any]:
    """What an accuracy is made of: six classes, some harder than others for every trial, and each trial's own luck."""
    rng = random.Random(trial_id)
    luck = [rng.gauss(0, 0.02) for _ in range(6)]
    shares = [value + (c - 2.5) * 0.04 + x - sum(luck) / 6 for c, x in enumerate(luck)]
    return {"right_per_class": [11 * share for share in shares], "queries_per_class": [11] * 6}


def _add_finals(history: History, rng: random.Random, labels: list[str]) -> None:
    results = []
    matrix = [[9 if row == column else int(abs(row - column) == 1) for column in range(5)] for row in range(5)]
    confusion = ConfusionMatrix(labels=labels, matrix=matrix)
    started = first = max(t.ended or 0.0 for t in history.trials.values()) + 1
    for place, trial in enumerate(history.ranked()[:3]):
        values = []
        for seed in range(3):
            values.append(0.72 + rng.gauss(0, 0.015))
            history.finals[trial.trial_id, seed] = FinalRecord(
                trial.trial_id,
                trial.config,
                started,
                "completed",
                _final_epochs(started, f"worker-1:{5000 + (3 * place + seed) % 2}"),
                ended=started + 40,
                seed=seed,
            )
            started += 20
        mean = sum(values) / 3
        ci95 = (mean - 0.03, mean + 0.03)
        results.append(
            FinalResult(
                trial_id=trial.trial_id,
                config=trial.config,
                val_accuracy=trial.value or 0.0,
                num_epochs=20,
                seeds=(0, 1, 2),
                test_accuracy=Accuracy(mean=mean, ci95=ci95, values=values),
                confusions=(confusion,) * 3,
            )
        )
    _add_stage(history, "final", first - 1, started + 20)
    _add_stage(history, "test", started + 20, started + 27)
    history.test = TestResults(
        num_queries=55,
        num_classes=5,
        num_exemplars=5,
        finals=results,
        confusion=confusion,
        per_class={label: matrix[i][i] / sum(matrix[i]) for i, label in enumerate(labels)},
        embedding_map=EmbeddingMap(method="t-SNE of made distances", points=_points(labels, matrix)),
        confused=_confused(labels, matrix),
        latency=Latency(
            enrol_ms_per_recording=3.5,
            recognise_ms_per_recording=4.25,
            recordings=55,
            device="cpu",
            threads=1,
            recognise_ms_p95=6.5,
            exemplars=20,
        ),
        shipped=Shipped(
            kind="trained",
            trial_id=results[0].trial_id,
            seed=0,
            accuracy=results[0].test_accuracy.values[0],
            threshold=0.8,
            reason="best by validation, above every baseline",
        ),
    )


def ship_candidate(history: History, chosen: Candidate, accuracy: float) -> None:
    """Let a search ship this candidate instead of its first final model."""
    assert history.test is not None
    shipped = Shipped(
        kind="training_free", candidate=chosen, accuracy=accuracy, threshold=0.7, reason="no trained model was better"
    )
    history.test = history.test.model_copy(update={"shipped": shipped})


def _final_epochs(started: float, worker: str) -> list[Epoch]:
    parts = {"time/data_s": 0.4, "time/step_s": 1.5, "time/evaluation_s": 0.0, "time/cpu_share": 0.9}
    return [
        Epoch(epoch=e, metrics={"train/loss": 1 / e, **parts}, worker=worker, time=started + 2 * e)
        for e in range(1, 21)
    ]


def _points(labels: list[str], matrix: list[list[int]]) -> list[MapPoint]:
    """A class after the other on a circle, its exemplar in the middle of its queries."""
    points = []
    for i, label in enumerate(labels):
        x, y = 20 * math.cos(2 * math.pi * i / len(labels)), 20 * math.sin(2 * math.pi * i / len(labels))
        points.append(MapPoint(name=f"{label} e", label=label, x=x, y=y, exemplar=True))
        named = [labels[j] for j, count in enumerate(matrix[i]) for _ in range(count)]
        points += [
            MapPoint(name=f"{label} {k}", label=label, x=x + k % 3, y=y + k // 3, exemplar=False, named=other)
            for k, other in enumerate(named)
        ]
    return points


def _confused(labels: list[str], matrix: list[list[int]]) -> list[ConfusedPair]:
    pairs = [(i, j) for i, row in enumerate(matrix) for j, count in enumerate(row) if i != j and count][:6]
    pictures = np.random.default_rng(0).integers(0, 256, (3, 20, 64, 3)).astype(np.uint8)
    return [
        ConfusedPair(
            true=labels[i],
            named=labels[j],
            count=matrix[i][j],
            total=sum(matrix[i]),
            images=[
                LabelledImage(what=what, png=png(picture))
                for what, picture in zip(
                    (f"query {labels[i]}", f"exemplar of {labels[i]}", f"exemplar of {labels[j]}"),
                    pictures,
                    strict=True,
                )
            ],
        )
        for i, j in pairs
    ]


def epoch(number: int, best: float, *, time: float = 0.0, worker: str | None = None, **metrics: float) -> Epoch:
    """An epoch with this accuracy, and more metrics."""
    values = {"val/accuracy": best, **metrics}
    return Epoch(epoch=number, metrics=values, time=time, worker=worker)


def history_of(*trials: tuple[float, Mapping[str, Any]], states: tuple[TrialState, ...] = ()) -> History:
    """Trials t0, t1 … with one epoch that had this value."""
    history = History(search_begun())
    for number, (value, params) in enumerate(trials):
        epochs = [epoch(1, value, time=2.0)]
        state = states[number] if states else "completed"
        history.trials[f"t{number}"] = TrialRecord(f"t{number}", {}, 1.0, state, epochs, ended=3.0, params=dict(params))
    return history
