"""The product of a search: enrol one exemplar per action, recognise recordings; saved with its preprocessing.

A saved model is a folder: `model.json` (how recordings are matched, the threshold for "unknown", where it comes
from) and, where there is an encoder, `weights.safetensors`. Loading it executes no pickle.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sldml.batches import Signals
from sldml.config import EncoderConfig, MatcherConfig, NormalizeConfig, RepresentationConfig
from sldml.embedding import input_shape
from sldml.encoders import build_encoder, without_download
from sldml.errors import InputError
from sldml.matching import Features, Matching
from sldml.prepared import held_steps
from sldml.protocols import Subset
from sldml.signals import Layout, Recording

_FORMAT = 2
_FORMATS = (1, _FORMAT)
"""Models of format 1 have no matcher: embeddings alone decide."""
_NEVER_UNKNOWN = 1.0


@dataclass(frozen=True)
class Recognition:
    """What a recording was taken for."""

    label: str | None
    """The nearest exemplar's action; None where it is unknown."""
    nearest: str
    """The nearest exemplar's action, known or not."""
    distance: float
    ratio: float
    """Distance of the nearest action over that of the second nearest: near 0 sure, 1 undecided."""


class Recognizer:
    """Recognises actions by their nearest exemplar."""

    def __init__(
        self,
        matching: Matching,
        *,
        encoder: EncoderConfig | None = None,
        threshold: float = _NEVER_UNKNOWN,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Args:
            matching: How recordings are compared.
            encoder: The configuration of the encoder that `matching` has, if any.
            threshold: A recording whose ratio is larger is unknown; see `calibrate`.
            origin: Where the model comes from, for a person: search, trial, seed, accuracy.
        """
        self.matching, self.encoder_config, self.threshold = matching, encoder, threshold
        self.origin = dict(origin or {})
        self._labels: list[str] = []
        self._features: Features | None = None

    def enrol(self, recordings: Sequence[Recording]) -> None:
        """Add exemplars, known by their own labels. Several of one label are all kept; the nearest counts.

        Raises:
            InputError: the rows of a recording are not those that the model was made for.
        """
        if not recordings:
            return
        features = self._features_of(recordings)
        if self._features is not None:
            features = tuple(torch.cat(parts) for parts in zip(self._features, features, strict=True))
        self._features = features
        self._labels += [recording.label for recording in recordings]

    def recognize(self, recordings: Sequence[Recording]) -> list[Recognition]:
        """Name each recording by its nearest exemplar.

        Raises:
            InputError: nothing is enrolled, or the rows of a recording are not the model's.
        """
        if self._features is None:
            raise InputError("no exemplar is enrolled: give the model one recording of each action first")
        if not recordings:
            return []
        distances = self.matching.distances(self._features, self._features_of(recordings)).cpu().numpy()
        labels = sorted(set(self._labels))
        owner = np.array([labels.index(label) for label in self._labels])
        nearest = np.stack([distances[owner == c].min(axis=0) for c in range(len(labels))])
        return [self._name(labels, column) for column in nearest.T]

    def _name(self, labels: Sequence[str], distances: NDArray[np.float32]) -> Recognition:
        order = np.argsort(distances, kind="stable")
        best = labels[order[0]]
        ratio = _ratio(distances[order[0]], distances[order[1]]) if len(labels) > 1 else 0.0
        return Recognition(best if ratio <= self.threshold else None, best, float(distances[order[0]]), float(ratio))

    def _features_of(self, recordings: Sequence[Recording]) -> Features:
        layout = self.matching.layout
        for recording in recordings:
            if recording.row_names != layout.row_names:
                raise InputError(
                    f"{recording.name}: its {len(recording.row_names)} rows are not the model's "
                    f"({layout.num_rows} rows: {layout.row_names[0]} …)"
                )
        lengths = np.array([len(r.values) for r in recordings], dtype=np.int64)
        subset = Subset(
            (),
            np.zeros(len(recordings), dtype=np.int64),
            np.cumsum(lengths) - lengths,
            lengths,
            tuple(r.name for r in recordings),
            tuple(r.subject for r in recordings),
        )
        frames = torch.from_numpy(np.concatenate([r.values for r in recordings]))
        held = None
        if layout.picture_rows == 0:  # a black column of a picture is no frame in which nothing was recorded
            held = torch.from_numpy(np.concatenate([held_steps(r.values) for r in recordings]))
        return self.matching.features(Signals(frames, held, torch.device("cpu")), subset)

    # ------------------------------------------------------------------------------------------ files

    def save(self, folder: Path) -> Path:
        """Write the model (not what is enrolled) as a folder; one that is there is replaced."""
        matching = self.matching
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        description = {
            "format": _FORMAT,
            "matching": matching.kind,
            "layout": matching.layout.to_json(),
            "normalize": matching.normalize.model_dump(),
            "representation": _dump(matching.representation),
            "encoder": _dump(self.encoder_config),
            "matcher": _dump(matching.matcher) if matching.kind == "encoder" else None,
            "raw_scale": matching.raw_scale,
            "threshold": self.threshold,
            "origin": self.origin,
        }
        (scratch / "model.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
        if matching.encoder is not None:
            weights = {k: v.detach().cpu().contiguous() for k, v in matching.encoder.state_dict().items()}
            save_file(weights, scratch / "weights.safetensors")
        scratch.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        scratch.replace(folder)
        return folder

    @classmethod
    def load(cls, folder: Path) -> Recognizer:
        """Load a saved model.

        Raises:
            InputError: there is no model, or it is not whole.
        """
        try:
            saved = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{folder} holds no model: model.json cannot be read ({error})") from error
        found = saved.get("format") if isinstance(saved, dict) else None
        if found not in _FORMATS:
            raise InputError(f"{folder}: the model has format {found}, this version reads {_FORMAT}")
        try:
            return cls._described(saved, folder / "weights.safetensors")
        except (OSError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{folder}: weights.safetensors does not fit model.json ({_one_line(error)})") from error
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{folder}: model.json describes no model ({_one_line(error)})") from error

    @classmethod
    def _described(cls, saved: Mapping[str, Any], weights: Path) -> Recognizer:
        """The model that a `model.json` describes."""
        layout = Layout.from_json(saved["layout"])
        normalization = NormalizeConfig.model_validate(saved["normalize"])
        if saved["matching"] != "encoder":
            matching = Matching(saved["matching"], layout, normalization)
            return cls(matching, threshold=saved["threshold"], origin=saved["origin"])
        representation = RepresentationConfig.model_validate(saved["representation"])
        config = EncoderConfig.model_validate(saved["encoder"])
        encoder = build_encoder(without_download(config), input_shape(config, representation, layout))
        encoder.load_state_dict(load_file(weights))
        matcher = MatcherConfig.model_validate(saved.get("matcher", {}))
        scale = float(saved.get("raw_scale", 1.0))
        matching = Matching("encoder", layout, normalization, representation, encoder.eval(), matcher, scale)
        return cls(matching, encoder=config, threshold=saved["threshold"], origin=saved["origin"])


def calibrate(distances: Tensor, labels: NDArray[np.int64], draws: NDArray[np.int64]) -> float:
    """The threshold for "unknown": which ratio of nearest to second-nearest distance tells known from unknown.

    In every draw each class is once a stranger: its exemplar is taken away, and its recordings should be
    unknown among the rest. The threshold is the ratio with the best mean of two shares: known recordings at or
    below it, strangers above it.

    Args:
        distances: [N, N] of validation recordings.
        labels: [N] their classes.
        draws: [D, C] from `sldml.oneshot.exemplar_draws`.
    """
    if draws.shape[1] < 3:
        return _NEVER_UNKNOWN  # without two other exemplars a stranger has no ratio
    table = distances.cpu().numpy()
    known, strange = [], []
    for draw in draws:
        queries = np.setdiff1d(np.arange(len(labels)), draw)
        to_exemplars = table[draw][:, queries]
        known.append(_top_ratio(to_exemplars))
        without_own = to_exemplars.copy()
        without_own[labels[queries], np.arange(len(queries))] = np.inf
        strange.append(_top_ratio(without_own))
    inside, outside = np.concatenate(known), np.concatenate(strange)
    candidates = np.unique(np.quantile(np.concatenate([inside, outside]), np.linspace(0.0, 1.0, 201)))
    balance = [(inside <= t).mean() + (outside > t).mean() for t in candidates]
    return float(candidates[int(np.argmax(balance))])


def _top_ratio(distances: NDArray[np.float32]) -> NDArray[np.float64]:
    lowest = np.partition(distances, 1, axis=0)[:2]
    ratio: NDArray[np.float64] = _ratio(lowest[0], lowest[1])
    return ratio


def _ratio(nearest: Any, second: Any) -> Any:
    return np.maximum(nearest, 0.0) / np.maximum(second, 1e-12)


def _dump(part: EncoderConfig | RepresentationConfig | MatcherConfig | None) -> dict[str, Any] | None:
    return None if part is None else part.model_dump(exclude_none=True)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
