"""One-shot accuracy, MAP@R, confusion matrices and confidence intervals, from embeddings or distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sldml.journal import ConfusionMatrix

_ELEMENTS_AT_ONCE = 2**26
"""Largest number of distances in memory at a time (a quarter of a gigabyte)."""
_FAISS_FROM = 4096
"""Number of references from which on a CPU uses faiss; below, a matrix product is faster."""


@dataclass(frozen=True)
class OneShotScore:
    """Accuracy over random draws of one exemplar per class; `std` is the spread over the draws."""

    mean: float
    std: float
    per_draw: NDArray[np.float64]
    right: NDArray[np.float64]
    """Number of correctly recognised queries of each class, mean over the draws [C]."""
    queries: NDArray[np.int64]
    """Number of queries of each class in a draw: its recordings without the exemplar [C]."""

    def over(self, scored: Sequence[str], classes: Sequence[str]) -> OneShotScore:
        """The same score with `right` and `queries` of `classes`; those that are not among the scored have none."""
        place = {name: index for index, name in enumerate(classes)}
        places = [place[name] for name in scored]
        right, queries = np.zeros(len(classes)), np.zeros(len(classes), dtype=np.int64)
        right[places], queries[places] = self.right, self.queries
        return replace(self, right=right, queries=queries)


def exemplar_draws(labels: NDArray[np.int64], num_draws: int, seed: int) -> NDArray[np.int64]:
    """Draw one recording of each class, `num_draws` times: [D, C] positions in `labels`, column c of class c.

    Raises:
        ValueError: a class below the largest label has no recording.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == c) for c in range(int(labels.max()) + 1)]
    if empty := [c for c, member in enumerate(members) if not len(member)]:
        raise ValueError(f"class {empty[0]} has no recording to draw an exemplar from")
    return np.stack([rng.choice(member, size=num_draws) for member in members], axis=1)


def score_distances(distances: Tensor, labels: NDArray[np.int64], draws: NDArray[np.int64]) -> OneShotScore:
    """One-shot accuracy of the nearest exemplar, over draws.

    Args:
        distances: [N, N], row: exemplar, column: query. Of equally near exemplars, the first class is predicted.
        labels: [N] classes 0 … C-1.
        draws: [D, C] from `exemplar_draws`. The exemplars of a draw are not queries in it.
    """
    return _score(distances, draws, labels, draws)


def score_embeddings(embeddings: Tensor, labels: NDArray[np.int64], draws: NDArray[np.int64]) -> OneShotScore:
    """`score_distances` with the cosine distances of embeddings [N, dim], without an [N, N] matrix."""
    unit = torch.nn.functional.normalize(embeddings.float(), dim=1)
    used, rows = np.unique(draws, return_inverse=True)
    distances = 1.0 - unit[torch.from_numpy(used).to(unit.device)] @ unit.T
    return _score(distances, rows.reshape(draws.shape), labels, draws)


def _score(
    distances: Tensor, rows: NDArray[np.int64], labels: NDArray[np.int64], draws: NDArray[np.int64]
) -> OneShotScore:
    """`rows` [D, C]: each drawn exemplar's row in `distances`; `draws` [D, C]: its column."""
    device = distances.device
    truth = torch.tensor(labels).to(device)
    num_draws, num_classes = draws.shape
    at_once = max(1, _ELEMENTS_AT_ONCE // (num_classes * len(labels)))
    accuracies, right = [], torch.zeros(len(labels), dtype=torch.float64, device=device)
    for start in range(0, num_draws, at_once):
        row = torch.from_numpy(rows[start : start + at_once]).to(device)
        column = torch.from_numpy(draws[start : start + at_once]).to(device)
        correct = distances[row].argmin(dim=1) == truth
        correct.scatter_(1, column, False)
        right += correct.sum(dim=0)
        accuracies.append(correct.sum(dim=1).double() / (len(labels) - num_classes))
    per_draw = torch.cat(accuracies).cpu().numpy()
    right_per_class = np.bincount(labels, weights=right.cpu().numpy(), minlength=num_classes) / num_draws
    queries = np.bincount(labels, minlength=num_classes) - 1
    return OneShotScore(float(per_draw.mean()), float(per_draw.std()), per_draw, right_per_class, queries)


def nearest(queries: Tensor, references: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` nearest references of each query by cosine: ([Q, count] distances, [Q, count] positions).

    An exact matrix product on the device, in pieces; faiss on a CPU with many references.
    """
    query, reference = (torch.nn.functional.normalize(x.float(), dim=1) for x in (queries, references))
    if reference.device.type == "cpu" and len(reference) >= _FAISS_FROM:
        import faiss  # few validation sets are this large

        index = faiss.IndexFlatIP(reference.shape[1])
        index.add(reference.numpy())
        similarity, position = index.search(query.numpy(), count)
        return 1.0 - torch.from_numpy(similarity), torch.from_numpy(position)
    at_once = max(1, _ELEMENTS_AT_ONCE // len(reference))
    found = [(piece @ reference.T).topk(count, dim=1) for piece in query.split(at_once)]
    return 1.0 - torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def map_at_r(embeddings: Tensor, labels: NDArray[np.int64]) -> float:
    """Mean average precision at R within one set (Musgrave et al., 2020), each recording queried once.

    R is the number of other recordings of the query's class. Recordings that are alone in their class are not counted.
    """
    most = int(np.bincount(labels).max())
    _, position = nearest(embeddings, embeddings, most)
    return _average_precision_at_r(position, labels)


def map_at_r_distances(distances: Tensor, labels: NDArray[np.int64]) -> float:
    """`map_at_r` from the distances [N, N] of all pairs."""
    most = int(np.bincount(labels).max())
    return _average_precision_at_r(distances.topk(most, dim=1, largest=False).indices, labels)


def _average_precision_at_r(position: Tensor, labels: NDArray[np.int64]) -> float:
    """`position` [N, R + 1]: the nearest recordings of each one, usually including itself."""
    truth = torch.tensor(labels).to(position.device)
    relevant = torch.bincount(truth)[truth] - 1
    counted = relevant > 0
    if not counted.any():
        return 0.0
    itself = position == torch.arange(len(labels), device=position.device).unsqueeze(1)
    # A recording that is not in its own list, because of duplicates, is left out as the last entry instead.
    itself[:, -1] |= ~itself.any(dim=1)
    others = position[~itself].reshape(len(labels), -1)
    rank = torch.arange(1, others.shape[1] + 1, device=others.device)
    hit = (truth[others] == truth.unsqueeze(1)) & (rank <= relevant.unsqueeze(1))
    precision = hit.cumsum(dim=1) / rank
    average = (precision * hit).sum(dim=1)[counted] / relevant[counted]
    return float(average.mean())


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Counts [C, C]: row is the true class, column the predicted one."""
    matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(matrix, (truth, predicted), 1)
    return matrix


def per_class_accuracy(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of correctly recognised queries of each class [C]; NaN for a class without queries."""
    total = matrix.sum(axis=1)
    share: NDArray[np.float64] = np.divide(matrix.diagonal(), total, out=np.full(len(matrix), np.nan), where=total > 0)
    return share


@dataclass(frozen=True)
class Predictions:
    """How good predictions are."""

    accuracy: float
    confusion: ConfusionMatrix
    per_class: dict[str, float]
    """Accuracy on each class that has queries."""


def score_predictions(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: Sequence[str]) -> Predictions:
    """Accuracy and confusion matrix of predictions [Q]."""
    matrix = confusion(truth, predicted, len(classes))
    shares = zip(classes, per_class_accuracy(matrix), strict=True)
    return Predictions(
        float(matrix.trace() / matrix.sum()),
        ConfusionMatrix(labels=tuple(classes), matrix=matrix.tolist()),
        {label: float(share) for label, share in shares if np.isfinite(share)},
    )


def mean_ci95(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Mean and its 95 % confidence interval by Student's t, cut to [0, 1].

    A single value has no spread: its interval is [0, 1].
    """
    return _ci95(values, 0.0, 1.0)


def paired_ci95(first: Sequence[float], second: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Mean of the differences `first` less `second`, pair by pair, and its 95 % confidence interval by Student's t.

    For accuracies under the same conditions, for example on the same class folds: what makes a fold hard for both
    cancels in the difference. The interval is cut to [-1, 1], which is also the interval of a single pair.

    Raises:
        ValueError: the two have different lengths.
    """
    return _ci95([a - b for a, b in zip(first, second, strict=True)], -1.0, 1.0)


def _ci95(values: Sequence[float], lowest: float, highest: float) -> tuple[float, tuple[float, float]]:
    import scipy.special  # not for workers, which have no intervals

    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, (lowest, highest)
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    half = float(scipy.special.stdtrit(len(values) - 1, 0.975)) * error
    return mean, (max(lowest, mean - half), min(highest, mean + half))
