"""The text of an evaluation that its command's own tests do not show."""

from __future__ import annotations

import csv
import io

from sldml.commands.evaluation_text import queries_csv


def test_names_with_commas_quotes_and_other_letters_are_read_back() -> None:
    rows = [
        {"recording": 'a "b", c', "label": "werfen, schräg", "predicted": "投げる", "distance": 0.25, "ratio": 0.5},
        {"recording": "d", "label": "x", "predicted": "x", "distance": 1e-07, "ratio": 1.0},
    ]
    text = queries_csv(rows)
    assert text.splitlines()[0] == "recording,label,predicted,distance,ratio"
    assert "\r" not in text
    read = list(csv.DictReader(io.StringIO(text)))
    assert read == [{name: str(value) for name, value in row.items()} for row in rows]
