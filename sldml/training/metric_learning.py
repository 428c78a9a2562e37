"""pytorch-metric-learning, imported without loading the parts of scipy that few of its losses use."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

__all__ = ["distances", "get_random_triplet_indices", "losses", "miners"]


class _Deferring(MetaPathFinder):
    """Finds modules that are loaded at the first access to an attribute."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of one of these modules, with a lazy loader; None for all others."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self._names else None
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


@contextmanager
def deferred(*names: str) -> Iterator[None]:
    """Defer loading modules that are first imported within this context.

    A module is loaded by the first use of an attribute, or by the next `import` of it anywhere. One that is loaded
    already stays so.
    """
    finder = _Deferring(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


# `scipy.stats` for the ranks of label hierarchies, `scipy.special` for one loss: a sixth of a worker's start.
with deferred("scipy.stats", "scipy.special"):
    from pytorch_metric_learning import distances, losses, miners
    from pytorch_metric_learning.utils.loss_and_miner_utils import get_random_triplet_indices
