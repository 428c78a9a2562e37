"""The saved model on the novel classes: its confusion matrix and a map of their recordings."""

from __future__ import annotations

import plotly.graph_objects as go

from sldml.journal import History, MapPoint
from sldml.report.figures.look import MAX_CLASSES_WITH_COUNTS, Figure, lay_out, percent, plain, shorten

# The eight colours of Okabe and Ito, then darker and lighter variants.
CLASS_COLORS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8C7B00", "#7F3C8D", "#444444", "#A5AA99",
    "#11A579", "#B5446E", "#3969AC", "#80BA5A", "#E68310", "#6B4C9A", "#008695", "#CF1C90", "#7A5C3E", "#5F9E6E",
)  # fmt: skip


def confusion(history: History) -> Figure | None:
    """Confusion matrix of the saved model on the sealed test: rows are true classes, colours are shares of a row."""
    if history.test is None or history.test.confusion is None:
        return None
    labels, matrix = history.test.confusion.labels, history.test.confusion.matrix
    shares = [[round(count / max(1, sum(row)), 4) for count in row] for row in matrix]
    side = max(12, min(34, 520 // len(labels)))  # fits on a laptop's screen
    ticks = {
        "tickvals": list(range(len(labels))),
        "ticktext": [plain(shorten(label)) for label in labels],
        "showgrid": False,
    }
    figure = go.Figure(
        go.Heatmap(
            z=shares, colorscale="Blues", zmin=0, zmax=1, xgap=1, ygap=1,
            customdata=[
                [[plain(true), plain(named), matrix[i][j]] for j, named in enumerate(labels)]
                for i, true in enumerate(labels)
            ],
            hovertemplate="true: %{customdata[0]}<br>recognised as: %{customdata[1]}<br>"
            "%{customdata[2]} queries (%{z:.1%})<extra></extra>",
            text=[[str(count) if count else "" for count in row] for row in matrix],
            texttemplate="%{text}" if len(labels) <= MAX_CLASSES_WITH_COUNTS else None,
            colorbar={"tickformat": ".0%", "title": {"text": "of the true class", "side": "right"}, "thickness": 12},
        )
    )  # fmt: skip
    lay_out(figure, x_title="recognised as", y_title="true class", height=240 + side * len(labels))
    figure.update_xaxes(**ticks, tickangle=-45)
    figure.update_yaxes(**ticks, autorange="reversed")
    total = sum(map(sum, matrix))
    correct = sum(matrix[i][i] for i in range(len(labels)))
    alt = f"Confusion matrix over {len(labels)} novel classes: {correct} of {total} queries are correct."
    return Figure(
        "confusion", figure, alt, "Rows are true classes; numbers are queries, colours are shares of the row."
    )


def embedding_map(history: History) -> Figure | None:
    """The novel recordings in a plane: exemplars as stars, queries coloured by class, wrong ones as crosses."""
    if history.test is None or history.test.embedding_map is None:
        return None
    found = history.test.embedding_map
    points = found.points
    labels = list(dict.fromkeys(point.label for point in points))
    color_of = {label: CLASS_COLORS[index % len(CLASS_COLORS)] for index, label in enumerate(labels)}
    exemplars = [point for point in points if point.exemplar]
    queries = [point for point in points if not point.exemplar]
    right = [point for point in queries if point.named == point.label]
    wrong = [point for point in queries if point.named != point.label]
    figure = go.Figure()
    for name, own, symbol in (
        ("query, correct", right, {"symbol": "circle", "size": 6, "opacity": 0.7}),
        ("query, wrong", wrong, {"symbol": "x-thin", "size": 8}),
    ):
        if own:
            colors = [color_of[point.label] for point in own]
            line = {"width": 2, "color": colors} if own is wrong else {"width": 0}
            figure.add_scatter(
                x=[point.x for point in own], y=[point.y for point in own], mode="markers", name=name,
                text=[_point_label(point) for point in own], hovertemplate="%{text}<extra></extra>",
                marker={**symbol, "color": colors, "line": line}, showlegend=False,
            )  # fmt: skip
            grey = {**symbol, "color": "#555555", "size": 9, "line": {**line, "color": "#555555"}}
            figure.add_scatter(x=[None], y=[None], mode="markers", name=name, marker=grey)
    figure.add_scatter(
        x=[point.x for point in exemplars], y=[point.y for point in exemplars], mode="markers",
        name="exemplar of a class", showlegend=False, customdata=[_point_label(point) for point in exemplars],
        hovertemplate="%{customdata}<extra></extra>", cliponaxis=False,
        marker={
            "symbol": "star", "size": 15, "color": [color_of[point.label] for point in exemplars],
            "line": {"width": 1.2, "color": "#111111"},
        },
    )  # fmt: skip
    for point in exemplars:
        figure.add_annotation(
            x=point.x, y=point.y, text=plain(shorten(point.label)), showarrow=False, yshift=15,
            borderpad=0, font={"size": 12}, bgcolor="rgba(255, 255, 255, 0.75)",
        )  # fmt: skip
    star = {"symbol": "star", "size": 13, "color": "#bbbbbb", "line": {"width": 1.2, "color": "#111111"}}
    figure.add_scatter(x=[None], y=[None], mode="markers", name="exemplar", marker=star)
    lay_out(figure, x_title="", y_title="", height=620)
    # Only distances between near points have a meaning: the axes of t-SNE have none.
    figure.update_xaxes(showticklabels=False, showgrid=False, ticks="", showline=False)
    figure.update_yaxes(showticklabels=False, showgrid=False, ticks="", showline=False)
    figure.update_layout(margin={"l": 24, "b": 16})
    alt = (
        f"Map of {len(queries)} queries and {len(exemplars)} exemplars of {len(labels)} novel classes; {len(wrong)} "
        f"of the queries shown ({percent(len(wrong) / max(1, len(queries)))}) are wrong."
    )
    caption = (
        f"{found.method}. Colours are true classes (repeated if there are many); a cross is a "
        "wrongly recognised query. Near points are similar for the model; distances between far groups mean little."
    )
    return Figure("embedding_map", figure, alt, caption)


def _point_label(point: MapPoint) -> str:
    if point.exemplar:
        return plain(f"{point.name}: exemplar of {point.label}")
    result = "correct" if point.named == point.label else f"recognised as {point.named}"
    return plain(f"{point.name}: {point.label}, {result}")
