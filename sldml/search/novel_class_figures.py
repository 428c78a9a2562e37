"""Figures of the saved model on the novel classes: a map of the sealed test, and examples of its worst confusions.

Both use the model's own distances, so they work for encoders and baselines alike. The results are stored in the journal
and therefore small: at most `MAX_POINTS` points and three images for each of `MAX_PAIRS` pairs.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from sldml.config.representation import RepresentationConfig
from sldml.embedding.images import represent
from sldml.embedding.normalize import normalize
from sldml.embedding.view import View
from sldml.journal import ConfusedPair, EmbeddingMap, LabelledImage, MapPoint
from sldml.protocols.split import union
from sldml.recognition.matching import Matching

MAX_POINTS = 1_000
MAX_PAIRS = 6
_PERPLEXITY = 30.0
_MOST_BYTES = 8_000
"""Maximum size of an image; larger ones are scaled down."""
_SIDES_PX = (256, 192, 128, 96, 64, 48)


def embedding_map(matching: Matching, exemplars: View, queries: View, predicted: NDArray[np.int64]) -> EmbeddingMap:
    """The sealed test in a plane, with recordings close together that are similar for the model.

    The points are the exemplars, then queries (a balanced sample if there are too many).

    Args:
        matching: That of the saved model.
        exemplars: Of the sealed test, one per class.
        queries: Of the sealed test.
        predicted: [Q] the recognised class of each query, an index into the exemplars' classes.
    """
    named = dict(zip(queries.names, predicted, strict=True))
    shown = queries.sample(max(0, MAX_POINTS - len(exemplars)))
    both = View(exemplars.frames, union(exemplars.subset, shown.subset))
    places = project(matching.between(both, both).cpu().numpy())
    classes = exemplars.classes
    points = []
    for i, name in enumerate(both.names):
        is_exemplar = i < len(exemplars)
        points.append(
            MapPoint(
                name=name,
                label=both.classes[both.labels[i]],
                x=round(float(places[i, 0]), 2),
                y=round(float(places[i, 1]), 2),
                exemplar=is_exemplar,
                named=None if is_exemplar else classes[named[name]],
            )
        )
    method = "t-SNE (van der Maaten and Hinton, 2008) of the model's own distances"
    if len(shown) < len(queries):
        method += f"; {len(shown)} of {len(queries)} queries, evenly from all classes"
    return EmbeddingMap(method=method, points=tuple(points))


def project(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Positions [N, 2] by t-SNE for distances [N, N]; deterministic.

    It starts from the first two axes of classical scaling (Torgerson, 1952), which need no random numbers and preserve
    the arrangement of classes. Fewer than four points keep their positions on these axes.
    """
    table = np.maximum(np.nan_to_num(distances.astype(np.float64)), 0.0)
    table = (table + table.T) / 2
    np.fill_diagonal(table, 0.0)
    squares = table**2
    centred = -0.5 * (squares - squares.mean(axis=0) - squares.mean(axis=1, keepdims=True) + squares.mean())
    values, vectors = np.linalg.eigh(centred)
    vectors = vectors[:, -2:][:, ::-1] * np.sqrt(np.maximum(values[-2:][::-1], 0.0))
    # The sign of an eigenvector is arbitrary: its largest entry is made positive.
    largest = np.abs(vectors).argmax(axis=0)
    places = (vectors * np.where(vectors[largest, range(vectors.shape[1])] < 0, -1.0, 1.0)).astype(np.float32)
    if len(table) < 4 or places.shape[1] < 2:
        return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
    start = places / max(float(places[:, 0].std()), 1e-12) * 1e-4
    perplexity = min(_PERPLEXITY, (len(table) - 1) / 3)
    # On a busy machine, waiting of its threads for one another takes far longer than a single thread.
    with threadpool_limits(1):
        found: NDArray[np.float32] = TSNE(
            metric="precomputed", init=start, perplexity=perplexity, random_state=0
        ).fit_transform(table)
    return found


def confused_pairs(
    matching: Matching,
    exemplars: View,
    queries: View,
    distances: NDArray[np.float32],
    predicted: NDArray[np.int64],
) -> tuple[ConfusedPair, ...]:
    """The most frequently confused pairs of classes, worst first, each with three images.

    The images are of the wrong query nearest to the wrong exemplar, of the exemplar of its true class, and of the wrong
    exemplar.

    Args:
        matching: That of the saved model.
        exemplars: Of the sealed test, one per class.
        queries: Of the sealed test.
        distances: [E, Q] of each exemplar to each query.
        predicted: [Q] the recognised class of each query, an index into the exemplars' classes.
    """
    classes, truth = exemplars.classes, queries.labels
    pairs = []
    for true, named, count in worst_pairs(truth, predicted, len(classes)):
        misnamed = np.flatnonzero((truth == true) & (predicted == named))
        wrong = np.flatnonzero(exemplars.labels == named)
        query = misnamed[distances[np.ix_(wrong, misnamed)].min(axis=0).argmin()]
        right = int(np.flatnonzero(exemplars.labels == true)[0])
        nearest = int(wrong[distances[wrong, query].argmin()])
        shown = (
            (queries.take(np.array([query])), f"query {queries.names[query]}"),
            (exemplars.take(np.array([right])), f"exemplar of {classes[true]}"),
            (exemplars.take(np.array([nearest])), f"exemplar of {classes[named]}"),
        )
        pairs.append(
            ConfusedPair(
                true=classes[true],
                named=classes[named],
                count=count,
                total=int((truth == true).sum()),
                images=tuple(LabelledImage(what=what, png=png(model_input(matching, one))) for one, what in shown),
            )
        )
    return tuple(pairs)


def worst_pairs(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int, most: int = MAX_PAIRS
) -> list[tuple[int, int, int]]:
    """(true class, named class, count) of the most frequent confusions; equal ones in the order of classes."""
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (truth, predicted), 1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    found = [(int(i) // num_classes, int(i) % num_classes, int(counts.flat[i])) for i in order]
    return [pair for pair in found if pair[2] > 0]


def model_input(matching: Matching, recording: View) -> NDArray[np.uint8]:
    """The input image of the model for one recording, uint8 [H, W, 3]; without an encoder, rows × steps as colours."""
    layout = recording.layout
    representation = matching.representation
    if representation is None and layout.image_rows:
        representation = RepresentationConfig(name="image", steps=layout.image_rows)
    representation = representation or RepresentationConfig()
    normalised = normalize(recording.resampled(representation.steps), matching.normalize, layout)
    image = represent(normalised, representation, layout)[0].permute(1, 2, 0)
    found: NDArray[np.uint8] = image.round().clamp(0, 255).byte().cpu().numpy()
    return found


def png(image: NDArray[np.uint8]) -> str:
    """An image [H, W, 3] as a base64-encoded PNG, enlarged in height and width by whole factors.

    It is as large as possible within `_MOST_BYTES`.
    """
    for side in _SIDES_PX:
        content = _png_bytes(image, side)
        if len(content) <= _MOST_BYTES:
            break
    return base64.b64encode(content).decode("ascii")


def _png_bytes(image: NDArray[np.uint8], side_px: int) -> bytes:
    """A PNG with height and width near `side_px` and a reduced number of colours."""
    height, width = image.shape[:2]
    small = Image.fromarray(image).resize((min(width, side_px), min(height, side_px)), Image.Resampling.BOX)
    size = (small.width * max(1, side_px // small.width), small.height * max(1, side_px // small.height))
    shown = small.quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    file = io.BytesIO()
    shown.resize(size, Image.Resampling.NEAREST).save(file, format="PNG", optimize=True)
    return file.getvalue()
