"""The recogniser, the product of a search: enrol one exemplar per action, then recognise recordings.

A saved model is a folder: `model.json` (how raw files are read and recordings are matched, the threshold for "unknown",
its origin), `weights.safetensors` if it has an encoder, and `exemplars.safetensors` if it was saved with exemplars.
Loading executes no pickle.
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
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sldml.config.data import DataConfig
from sldml.config.encoder import EncoderConfig
from sldml.config.matcher import MatcherConfig
from sldml.config.representation import NormalizeConfig, RepresentationConfig
from sldml.embedding.embed import input_shape
from sldml.embedding.encoders import build_encoder, without_download
from sldml.embedding.view import View
from sldml.errors import InputError
from sldml.recognition.gallery import Gallery, Nearest
from sldml.recognition.matching import Features, Matching
from sldml.recognition.saved_exemplars import SavedExemplars, read_exemplars, write_exemplars
from sldml.recordings import Layout, Recording

_FORMAT = 3
"""Format 1 has no matcher: embeddings are compared. Formats before 3 do not say how raw files are read."""
NEVER_UNKNOWN = 1.0
FEWEST_TO_CALIBRATE = 3
"""Classes: a recording of an unknown action needs exemplars of two others for a ratio."""
MOST_REJECTED = 0.05
"""Of the recordings of known actions, at most this share is unknown by a calibrated threshold."""
_AT_ONCE = 256
"""Number of recordings in one array at a time."""
_DATA: TypeAdapter[DataConfig] = TypeAdapter(DataConfig)


@dataclass(frozen=True)
class Recognition:
    """The result for one recording."""

    label: str | None
    """Action of the nearest exemplar; None for an unknown action."""
    nearest: str
    """Action of the nearest exemplar, also for an unknown action."""
    distance: float
    ratio: float
    """Distance of the nearest action divided by that of the second nearest: near 0 clear, 1 undecided."""


class Recognizer:
    """Recognises actions by the nearest enrolled exemplar."""

    def __init__(
        self,
        matching: Matching,
        *,
        encoder: EncoderConfig | None = None,
        threshold: float = NEVER_UNKNOWN,
        data: DataConfig | None = None,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Args:
            matching: How recordings are compared.
            encoder: The configuration of the encoder that `matching` has, if any.
            threshold: A recording with a larger ratio is unknown; see `calibrate`.
            data: How raw files are read (`sldml.recordings.given_files`); None if not known.
            origin: Where the model comes from: search, trial, seed, accuracy.
        """
        self.matching, self.encoder_config, self.threshold, self.data = matching, encoder, threshold, data
        self.origin = dict(origin or {})
        self.device = torch.device("cpu")
        """Device of the encoder; DTW is always computed on the CPU."""
        self.gallery: Gallery | None = None
        """The enrolled exemplars; None without any."""

    def emptied(self) -> Recognizer:
        """A copy of the recogniser, on the same device, without exemplars."""
        other = Recognizer(
            self.matching, encoder=self.encoder_config, threshold=self.threshold, data=self.data, origin=self.origin
        )
        other.device = self.device
        return other

    def enrol(self, recordings: Sequence[Recording]) -> None:
        """Add exemplars under their labels. Of several with one label, the nearest counts.

        Raises:
            InputError: a recording has other rows than those of the model.
        """
        self._require_rows(recordings)
        self.enrol_signals([r.values for r in recordings], [r.label for r in recordings])

    def enrol_signals(self, signals: Sequence[NDArray[np.float32]], labels: Sequence[str]) -> None:
        """`enrol` of signals [frames, rows, 3] whose rows are the model's (`matching.layout`)."""
        if not signals:
            return
        features = self._features_of(signals)
        if self.gallery is None:
            self.gallery = Gallery(self.matching, features, labels)
        else:
            self.gallery = self.gallery.plus(features, labels)

    def recognize(self, recordings: Sequence[Recording]) -> list[Recognition]:
        """Recognise each recording by its nearest exemplar.

        Raises:
            InputError: nothing is enrolled, or a recording has other rows than those of the model.
        """
        self._require_rows(recordings)
        return self.recognize_signals([r.values for r in recordings])

    def recognize_signals(self, signals: Sequence[NDArray[np.float32]]) -> list[Recognition]:
        """`recognize` for signals [frames, rows, 3] whose rows are the model's (`matching.layout`).

        Raises:
            InputError: nothing is enrolled.
        """
        if self.gallery is None:
            raise InputError("no exemplar is enrolled: give the model one recording of each action first")
        found: list[Recognition] = []
        for start in range(0, len(signals), _AT_ONCE):
            nearest = self.gallery.nearest(self._features_of(signals[start : start + _AT_ONCE]))
            found += self._named(self.gallery.actions, nearest)
        return found

    def _named(self, actions: Sequence[str], nearest: Nearest) -> list[Recognition]:
        # With a single action, the second nearest is infinitely far.
        ratios = _ratio(nearest.distance, nearest.second)
        return [
            Recognition(actions[a] if r <= self.threshold else None, actions[a], float(d), float(r))
            for a, d, r in zip(nearest.action, nearest.distance, ratios, strict=True)
        ]

    def _require_rows(self, recordings: Sequence[Recording]) -> None:
        layout = self.matching.layout
        for recording in recordings:
            if recording.row_names != layout.row_names:
                raise InputError(
                    f"{recording.name}: its {len(recording.row_names)} rows are not the model's "
                    f"({layout.num_rows} rows: {layout.row_names[0]} …)"
                )

    def _features_of(self, signals: Sequence[NDArray[np.float32]]) -> Features:
        return self.matching.features(View.of(signals, self.matching.layout, self.device))

    # ------------------------------------------------------------------------------------------ files

    def save(self, folder: Path, exemplars: SavedExemplars | None = None) -> Path:
        """Write the model as a folder, with `exemplars` that can be enrolled on loading. Replaces an existing folder.

        Exemplars that were added by `enrol` are not written: only their features are known.
        """
        matching = self.matching
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        description = {
            "format": _FORMAT,
            "matching": matching.kind,
            "data": None if self.data is None else self.data.model_dump(mode="json", exclude_none=True),
            "layout": matching.layout.to_json(),
            "normalize": matching.normalize.model_dump(),
            "representation": _dump(matching.representation),
            "encoder": _dump(self.encoder_config),
            "matcher": _dump(matching.matcher) if matching.kind == "encoder" else None,
            "raw_scale": matching.raw_scale,
            "threshold": self.threshold,
            "origin": self.origin,
        }
        try:
            (scratch / "model.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
            if matching.encoder is not None:
                weights = {k: v.detach().cpu().contiguous() for k, v in matching.encoder.state_dict().items()}
                save_file(weights, scratch / "weights.safetensors")
            if exemplars is not None:
                write_exemplars(scratch, exemplars, matching.layout.dtype)
            for file in scratch.iterdir():
                file.chmod(0o644)  # safetensors makes its files readable for their owner only
            scratch.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            scratch.replace(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)  # left by an error, such as a full disk
        return folder

    @classmethod
    def load(cls, folder: Path, *, enrolled: bool = False) -> Recognizer:
        """Load a saved model; `enrolled`: enrol the exemplars that it was saved with, if any.

        Raises:
            InputError: there is no model, or it is incomplete.
        """
        try:
            saved = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{folder} holds no model: model.json cannot be read ({error})") from error
        found = saved.get("format") if isinstance(saved, dict) else None
        if found != _FORMAT:
            raise InputError(f"{folder}: the model has format {found}, this version reads {_FORMAT}")
        try:
            model = cls._described(saved, folder / "weights.safetensors")
        except (OSError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{folder}: weights.safetensors does not fit model.json ({_one_line(error)})") from error
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{folder}: model.json describes no model ({_one_line(error)})") from error
        if enrolled and (kept := read_exemplars(folder)) is not None:
            if kept.signals[0].shape[1] != model.matching.layout.num_rows:
                raise InputError(f"{folder}: exemplars.safetensors does not fit model.json: its rows are others")
            model.enrol_signals(kept.signals, kept.labels)
        return model

    @classmethod
    def _described(cls, saved: Mapping[str, Any], weights: Path) -> Recognizer:
        """Build the model from the content of its `model.json`."""
        layout = Layout.from_json(saved["layout"])
        normalization = NormalizeConfig.model_validate(saved["normalize"])
        data = None if saved["data"] is None else _DATA.validate_python(saved["data"])
        threshold, origin = float(saved["threshold"]), saved["origin"]
        if saved["matching"] not in ("raw_1nn", "dtw_1nn", "encoder"):
            raise ValueError(f"matching is {saved['matching']!r}")
        if saved["matching"] != "encoder":
            matching = Matching(saved["matching"], layout, normalization)
            return cls(matching, threshold=threshold, data=data, origin=origin)
        representation = RepresentationConfig.model_validate(saved["representation"])
        config = EncoderConfig.model_validate(saved["encoder"])
        encoder = build_encoder(without_download(config), input_shape(config, representation, layout))
        encoder.load_state_dict(load_file(weights))
        matcher = MatcherConfig.model_validate(saved["matcher"])
        scale = float(saved["raw_scale"])
        matching = Matching("encoder", layout, normalization, representation, encoder.eval(), matcher, scale)
        return cls(matching, encoder=config, threshold=threshold, data=data, origin=origin)


def find_model(given: str, storage: Path) -> Path:
    """Find a model by its folder, the folder of its search, or the name of a search.

    Raises:
        InputError: there is none.
    """
    places = [Path(given).expanduser(), Path(given).expanduser() / "model", storage / given / "model"]
    for place in places:
        if (place / "model.json").is_file():
            return place.absolute()
    if (storage / given / "journal.jsonl").is_file():
        raise InputError(
            f"--model {given}: the search has not saved a model (yet); {storage / given / 'model'} is missing"
        )
    names = sorted(path.parent.parent.name for path in storage.glob("*/model/model.json"))
    known = f"searches with a model are {', '.join(names)}" if names else "no search there has a model"
    raise InputError(f"--model {given}: is neither a model's folder nor a search in {storage}; {known}")


def torch_device(name: str) -> torch.device:
    """`--device`.

    Raises:
        InputError: this machine has none of that name.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(f"--device {name}: cannot be used here ({_one_line(error)[:120]}); cpu always can") from error
    return device


@dataclass(frozen=True)
class Calibration:
    """A threshold for "unknown", and its rates on the recordings that it was calibrated on."""

    threshold: float
    """Ratio of nearest to second-nearest distance above which a recording is unknown."""
    known_rejected: float
    """Share of recordings of known actions that are unknown by it."""
    unknown_accepted: float
    """Share of recordings of actions without an exemplar that are given a name nevertheless."""


def calibrate(distances: Tensor, labels: NDArray[np.int64], draws: NDArray[np.int64]) -> Calibration:
    """The lowest threshold by which at most `MOST_REJECTED` of the recordings of known actions are unknown.

    In every draw, the exemplar of each class is left out once: recordings of that class should then be unknown.

    Args:
        distances: [N, N] of validation recordings.
        labels: [N] their classes.
        draws: [D, C] from `sldml.recognition.one_shot.exemplar_draws`.
    """
    if draws.shape[1] < FEWEST_TO_CALIBRATE:
        return Calibration(NEVER_UNKNOWN, 0.0, 1.0)
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
    threshold = float(np.quantile(inside, 1.0 - MOST_REJECTED, method="higher"))
    return Calibration(threshold, float((inside > threshold).mean()), float((outside <= threshold).mean()))


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
