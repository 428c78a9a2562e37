"""One-shot action recognition by deep metric learning, chosen by search.

    import sldml

    result = sldml.tune("demo", trials=4, max_epochs=2)
    print(result.best, result.shipped)

Each name is imported when it is first used, because PyTorch, Ray and MLflow take seconds to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sldml.api import SearchResult, load, tune
    from sldml.errors import InputError
    from sldml.recognition.recognizer import Recognizer

__version__ = "0.1.0"
__all__ = ["InputError", "Recognizer", "SearchResult", "__version__", "load", "tune"]

_MODULES = {
    "InputError": "sldml.errors",
    "Recognizer": "sldml.recognition.recognizer",
    "SearchResult": "sldml.api",
    "load": "sldml.api",
    "tune": "sldml.api",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
