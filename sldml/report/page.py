"""Self-contained HTML pages from a template and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from sldml.report.figures import Figure, percent
from sldml.report.text import chance, number, points


def render_page(template: str, figures: Mapping[str, Figure], **values: Any) -> str:
    """A page as text, with the figures that the template includes."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,  # names of classes and searches come from outside
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "number": number, "points": points, "chance": chance}
    return environment.get_template(template).render(
        figures=figures,
        figure_data={name: json.loads(figure.figure.to_json()) for name, figure in figures.items()},
        plotly_js=get_plotlyjs(),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **values,
    )
