"""Validation of a model in training: its one-shot accuracy on the validation classes."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sldml.config.trial import TrialConfig
from sldml.embedding.encoders import Encoder
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.protocols.folds import MOST_TO_SCORE
from sldml.protocols.split import Development
from sldml.recognition.matching import Matching, signal_scale
from sldml.recognition.one_shot import exemplar_draws, map_at_r, map_at_r_distances, score_distances, score_embeddings
from sldml.training.epoch_metrics import Metrics


class Validator:
    """Scores an encoder on the validation recordings of a split by the configuration's matcher.

    A matcher that compares more than embeddings needs the distances of all pairs: it is scored on a fixed sample of at
    most `MOST_TO_SCORE` recordings, which may leave out classes if there are very many.
    """

    def __init__(self, config: TrialConfig, development: Development, frames: Frames) -> None:
        self._config, self._plain, self._measure = config, config.matcher.is_plain, development.measure
        self._classes = development.validation.classes
        self._train = View(frames, development.train)
        whole = View(frames, development.validation)
        self._view = whole if self._plain else whole.sample_for_draws(MOST_TO_SCORE)
        self._draws = exemplar_draws(self._view.labels, config.evaluation.num_draws, config.evaluation.seed)

    def __call__(self, encoder: Encoder) -> Metrics:
        """Score an encoder.

        Returns:
            `val/accuracy` (the objective), `val/accuracy_std` over the exemplar draws, and `val/map_at_r`. If the
            objective is one-shot accuracy, also `val/right_per_class` and `val/queries_per_class`, in the order of the
            classes.
        """
        labels = self._view.labels
        matching = self._matching(encoder)
        encoded = matching.encoded(self._view)
        if self._plain:
            retrieval = map_at_r(encoded, labels)
            distances = None
        else:
            distances = matching.encoded_distances(encoded, encoded).cpu()
            if self._added is not None:
                distances = distances + self._added
            retrieval = map_at_r_distances(distances, labels)
        return {**self._score(encoded, distances, labels, retrieval), "val/map_at_r": retrieval}

    def _score(self, encoded: Tensor, distances: Tensor | None, labels: NDArray[np.int64], retrieval: float) -> Metrics:
        """The objective, its standard deviation over the exemplar draws (0 without draws), and its parts."""
        if self._measure == "map_at_r":
            return {"val/accuracy": retrieval, "val/accuracy_std": 0.0}
        if distances is None:
            result = score_embeddings(encoded, labels, self._draws)
        else:
            result = score_distances(distances, labels, self._draws)
        result = result.over(self._view.classes, self._classes)
        return {
            "val/accuracy": result.mean,
            "val/accuracy_std": result.std,
            "val/right_per_class": result.right.round(4).tolist(),
            "val/queries_per_class": result.queries.tolist(),
        }

    @functools.cached_property
    def _added(self) -> Tensor | None:
        """The part of the distances that does not depend on the encoder: the same in every epoch."""
        if self._config.matcher.raw_weight == 0.0:
            return None
        scale = signal_scale(self._train, self._config.normalize)
        return self._matching(None, scale).added(self._view)

    def _matching(self, encoder: Encoder | None, raw_scale: float = 1.0) -> Matching:
        c = self._config
        return Matching("encoder", self._view.layout, c.normalize, c.representation, encoder, c.matcher, raw_scale)
