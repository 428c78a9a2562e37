"""Checkpoints of one training, at a path or on the file system of a URI: its last state, and its weights at the end.

A checkpoint is found by its folder alone: a retry after a failure of the machine, a resumed search and another node all
continue from the same file. Loading executes no pickle.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import time
from typing import Any

import torch
from pyarrow import fs

from sldml.training.loop import State

_LAST, _WEIGHTS = "last.pt", "weights.pt"
_LARGEST_SHARE_OF_TIME = 0.05
_log = logging.getLogger(__name__)


def open_folder(uri: str) -> tuple[Any, str]:
    """The file system and the path on it of a folder, given as an absolute path or a URI.

    Raises:
        ValueError: neither an absolute path nor a URI that Arrow knows.
    """
    filesystem, path = fs.FileSystem.from_uri(uri)
    return filesystem, path


class CheckpointFile:
    """The checkpoint of one training."""

    def __init__(self, folder: str) -> None:
        """`folder`: absolute path or URI; created with the first checkpoint."""
        self._filesystem, self._folder = open_folder(folder)
        self._last_saved, self._last_cost = 0.0, 0.0

    def save(self, state: State, *, must: bool) -> bool:
        """Replace the checkpoint. Returns whether it was saved.

        With `must=False`, saving is skipped as long as it would take more than a twentieth of the time.
        """
        started = time.monotonic()
        if not must and self._last_cost > _LARGEST_SHARE_OF_TIME * (started - self._last_saved):
            return False
        self._replace(_LAST, state)
        self._last_saved = time.monotonic()
        self._last_cost = self._last_saved - started
        return True

    def save_weights(self, weights: State) -> None:
        """Replace the weights that `load_weights` returns."""
        self._replace(_WEIGHTS, weights)

    def load(self, device: torch.device) -> State | None:
        """The last state; None without a checkpoint, or with a damaged one."""
        return self._load(_LAST, device)

    def load_weights(self, device: torch.device) -> State | None:
        """The weights at the end of the schedule; None without any, or with damaged ones."""
        return self._load(_WEIGHTS, device)

    def _replace(self, name: str, content: State) -> None:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        path = f"{self._folder}/{name}"
        try:
            self._filesystem.create_dir(self._folder, recursive=True)
            with self._filesystem.open_output_stream(f"{path}.tmp") as file:
                file.write(buffer.getbuffer())
            self._filesystem.move(f"{path}.tmp", path)
        except OSError as error:
            if error.errno is None:
                raise
            raise OSError(error.errno, os.strerror(error.errno), path) from error  # Arrow does not name the file

    def _load(self, name: str, device: torch.device) -> State | None:
        path = f"{self._folder}/{name}"
        if self._filesystem.get_file_info(path).type != fs.FileType.File:
            return None
        with self._filesystem.open_input_file(path) as file:
            content = file.read()
        try:
            state: State = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        except (EOFError, KeyError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            _log.warning("checkpoint %s is damaged and is not used (%s)", path, " ".join(str(error).split())[:120])
            return None
        return state
