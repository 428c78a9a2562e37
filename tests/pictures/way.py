"""The picture at the top of README.md: from a skeleton to an image, to an embedding, to the nearest exemplar.

Everything in it is computed: a synthetic recording of an action that training has not seen, its `swap_axes` image, and
the embeddings of such recordings by an encoder that is trained here, with the default configuration of the search space
`demo`, in one to two minutes on two cores.

Run: python -m tests.pictures.way
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sldml.config.space_file import read_space
from sldml.config.trial import TrialConfig
from sldml.embedding.images import represent
from sldml.embedding.normalize import normalize
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import prepare
from sldml.protocols.make_split import make_split
from sldml.protocols.split import union
from sldml.recognition.matching import Matching
from sldml.recordings import KINECT_V2
from sldml.training.loop import Training

OUT = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "way.png"
SETTINGS = ("loss.name=multi_similarity", "miner.name=none", "augment.rotation_deg=40", "normalize.view=face_camera")
NUM_EPOCHS = 20
CLASSES_SHOWN = 6
QUERY = "A007"
"""The class of the recording that is followed."""
POSE_STEPS = (0, 14, 28)
POSE_DISTANCE_M = 1.15

INK, PALE, ACCENT = "#222222", "#8a8a8a", "#c2410c"
COLOURS = ("#4e79a7", "#59a14f", "#b07aa1", "#edc948", "#76b7b2", "#9c755f")


@dataclass(frozen=True)
class Way:
    """What the picture shows."""

    poses: NDArray[np.float32]
    """[poses, joints, 3] in metres."""
    image: NDArray[np.uint8]
    """[joints, steps, 3]."""
    places: NDArray[np.float64]
    """[N, 2] embeddings of recordings on the plane of their first two principal components, exemplars first."""
    labels: tuple[str, ...]
    """[N] their actions."""
    num_exemplars: int
    query: int
    """Which of the N is the recording in the picture."""
    nearest: int
    """Which exemplar is nearest to it, by the distance of the embeddings and not by that on the plane."""


def compute(num_epochs: int, cache: Path, settings: tuple[str, ...] = SETTINGS) -> Way:
    """Train an encoder on auxiliary classes and follow one recording of a novel class."""
    config = read_space("demo", settings).default_config()
    prepared = prepare(config.data, None, cache)
    split = make_split(config.protocol, prepared.catalog)
    frames = Frames.open(prepared.folder, torch.device("cpu"))
    training = Training(config, View(frames, split.development.merged()))
    for _ in range(num_epochs):
        training.run_epoch()
    matching = Matching("encoder", frames.layout, config.normalize, config.representation, training.encoder)
    return follow(config, matching, View(frames, union(split.sealed.exemplars, split.sealed.queries)))


def follow(config: TrialConfig, matching: Matching, novel: View) -> Way:
    """Follow one recording of `novel`, whose first recordings are one exemplar per class; embed the classes shown."""
    classes = [QUERY, *(name for name in novel.classes if name != QUERY)][:CLASSES_SHOWN]
    shown = novel.take(np.flatnonzero([novel.classes[label] in classes for label in novel.labels]))
    labels = tuple(novel.classes[label] for label in shown.labels)
    embeddings = matching.encoded(shown).double().numpy()
    distances = 1.0 - embeddings @ embeddings[: len(classes)].T
    query = next(i for i, label in enumerate(labels) if label == QUERY and i >= len(classes))
    signals = shown.batch(torch.tensor([query]), config.representation.steps)
    image = represent(normalize(signals, config.normalize, shown.layout), config.representation, shown.layout)[0]
    centred = embeddings - embeddings.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    return Way(
        signals[0, POSE_STEPS, : KINECT_V2.num_joints].numpy(),
        image.permute(1, 2, 0).round().byte().numpy(),
        centred @ axes.T,
        labels,
        len(classes),
        query,
        int(distances[query].argmin()),
    )


def draw(way: Way) -> Figure:
    """All of it in one row, left to right."""
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 12, "text.color": INK, "axes.edgecolor": PALE}):
        figure = Figure(figsize=(10, 4.0), dpi=160, facecolor="white")
        boxes = ([0.01, 0.2, 0.27, 0.66], [0.345, 0.2, 0.25, 0.66], [0.66, 0.2, 0.33, 0.66])
        left, middle, right = (figure.add_axes(box) for box in boxes)
        _skeletons(left, way.poses)
        _image(middle, way.image)
        _embeddings(right, way)
        for axes, title, caption in (
            (left, "Recording", "joints in 3D, over time"),
            (middle, "Image", "rows: joints, columns: time\nx, y, z: red, green, blue"),
            (right, "Embedding", ""),
        ):
            box = axes.get_position()
            centre = (box.x0 + box.x1) / 2
            figure.text(centre, 0.9, title, ha="center", fontsize=14, fontweight="bold")
            figure.text(centre, 0.165, caption, ha="center", va="top", linespacing=1.4)
        for start, end in ((0.285, 0.34), (0.6, 0.655)):
            style = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.6, "mutation_scale": 18}
            right.annotate("", (end, 0.53), (start, 0.53), xycoords=figure.transFigure, arrowprops=style)
    return figure


def _skeletons(axes: Axes, poses: NDArray[np.float32]) -> None:
    for number, joints in enumerate(poses):
        x, y = joints[:, 0] - joints[0, 0] + POSE_DISTANCE_M * number, joints[:, 1] - joints[:, 1].min()
        for joint, parent in enumerate(KINECT_V2.parents):
            if parent >= 0:
                axes.plot(x[[joint, parent]], y[[joint, parent]], color=INK, linewidth=1.8, solid_capstyle="round")
        axes.scatter(x, y, s=10, color=ACCENT, zorder=3)
    axes.set_aspect("equal")
    axes.set_axis_off()


def _image(axes: Axes, image: NDArray[np.uint8]) -> None:
    axes.imshow(image, aspect="auto", interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def _embeddings(axes: Axes, way: Way) -> None:
    exemplars = way.places[: way.num_exemplars]
    for number, (place, colour) in enumerate(zip(exemplars, COLOURS, strict=True)):
        own = np.array([label == way.labels[number] for label in way.labels])
        own[[way.query, *range(way.num_exemplars)]] = False
        axes.scatter(*way.places[own].T, s=26, color=colour, alpha=0.6, linewidths=0)
        axes.scatter(*place, s=210, marker="*", color=colour, edgecolors=INK, linewidths=0.9, zorder=4)
    query, nearest = way.places[way.query], way.places[way.nearest]
    axes.plot(*np.stack([query, nearest]).T, color=ACCENT, linewidth=2.0, zorder=3)
    axes.scatter(*query, s=80, marker="D", color=ACCENT, edgecolors="white", linewidths=1.0, zorder=5)
    axes.margins(0.08)
    axes.set_xticks([])
    axes.set_yticks([])
    handles = [
        axes.scatter([], [], s=80, marker="D", color=ACCENT, label="this recording"),
        axes.scatter([], [], s=150, marker="*", color="white", edgecolors=INK, label="one example per action"),
        axes.scatter([], [], s=26, color=PALE, label="other recordings, by action"),
    ]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.0, 0.0), frameon=False, labelspacing=0.25)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--epochs", type=int, default=NUM_EPOCHS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        way = compute(arguments.epochs, Path(folder))
    draw(way).savefig(arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1000:.0f} kB")
    print(f"{way.labels[way.query]} is recognised as {way.labels[way.nearest]}")


if __name__ == "__main__":
    main()
