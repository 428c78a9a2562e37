"""`launch/train.py` before anything is trained: what is refused, in one line."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one of --space NAME or FILE, --config FILE, --from-run ID"),
        (["--space", "demo", "--config", "x.yaml"], "give one of --space"),
        (["--config", "/nowhere.yaml"], "--config /nowhere.yaml: cannot be read"),
        (["--space", "demo", "--set", "loss.name=best"], "--set loss.name=best"),
        (["--space", "demo", "--register", "a/b"], "--register a/b: write letters"),
        (["--space", "demo", "--register", "a", "--no-final"], "no model is saved"),
        (["--from-run", "0" * 32, "--storage", "/nowhere"], "no MLflow store in /nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(launched: Any, arguments: list[str], said: str) -> None:
    status, lines, err = launched("train.py", *arguments)
    assert (status, lines) == (2, [])
    assert said in err
    assert err.count("\n") == 1
