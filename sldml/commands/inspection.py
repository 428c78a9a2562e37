"""A check of how recordings were read: numbers that reveal wrong axes or units, and a sheet of images.

A stick figure of the middle frame shows whether a skeleton's tree and axes are right, next to the image that an encoder
would receive.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sldml.commands.contact_sheet import contact_sheet
from sldml.config.trial import TrialConfig
from sldml.embedding.images import represent
from sldml.embedding.normalize import normalize
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.classes import ProtocolError
from sldml.protocols.make_split import make_split
from sldml.protocols.split import Subset
from sldml.recordings import Layout

_STEPS = 32
_MAX_RECORDINGS = 2_000
_MAX_CLASSES = 24
_SIDE_PX = 192
_COLUMNS = 6
"""Even, so that a figure and its image are side by side."""
_LEFT, _RIGHT, _MIDDLE = (214, 95, 0), (0, 90, 170), (70, 70, 70)


def inspection_lines(prepared: PreparedSet, config: TrialConfig) -> list[str]:
    """Extents of bodies, ranges of sensors, rates, and the split by the protocol, as lines of text."""
    rates = prepared.catalog["rate_hz"]
    same = rates.min() == rates.max()
    lines = (
        []
        if prepared.layout.image_rows
        else [f"rate: {rates.min():g} Hz" if same else f"rate: {rates.min():g} to {rates.max():g} Hz"]
    )
    some = Subset.of(prepared.catalog, sorted(set(prepared.catalog["label"]))).sample(_MAX_RECORDINGS)
    frames = _view(prepared, some).resampled(_STEPS).numpy()
    lines += _body_lines(frames, prepared.layout) + _sensor_lines(frames, prepared.layout)
    try:
        split = make_split(config.protocol, prepared.catalog)
    except ProtocolError as error:
        return [*lines, f"protocol: not applicable: {error}"]
    return [*lines, f"protocol: {split.in_words()}", *(f"note: {note}" for note in split.notes)]


def inspection_sheet(prepared: PreparedSet, config: TrialConfig) -> Image.Image:
    """One recording of each of the first classes: its middle frame as a stick figure, and its image."""
    catalog = prepared.catalog
    labels = sorted(set(catalog["label"]))[:_MAX_CLASSES]
    first = catalog[catalog["label"].isin(labels)].drop_duplicates("label")
    subset = Subset.of(first, labels)
    layout, representation = prepared.layout, config.representation
    raw = _view(prepared, subset).resampled(representation.steps)
    signals = normalize(raw, config.normalize, layout)
    images = represent(signals, representation, layout).permute(0, 2, 3, 1).round().byte().numpy()
    cells: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    # Subset.of keeps the order of the catalogue, which may not be sorted by label.
    for i in np.argsort(subset.labels, kind="stable"):
        if layout.skeleton is not None:
            cells.append(stick_figure(raw[i].numpy(), layout))
            captions.append(f"{subset.classes[subset.labels[i]]}: {subset.names[i]}")
        cells.append(images[i])
        captions.append(f"{subset.classes[subset.labels[i]]}: {representation.name}")
    return contact_sheet(cells, captions, num_columns=_COLUMNS)


def stick_figure(frames: NDArray[np.float32], layout: Layout) -> NDArray[np.uint8]:
    """Draw bodies [T, rows, 3] in their middle frame from the front (x to the right, y up); a point as its path.

    Joints whose names begin with "left" are orange, with "right" blue.

    Returns:
        uint8 [192, 192, 3].
    """
    assert layout.skeleton is not None
    skeleton = layout.skeleton
    bodies = frames[:, : layout.body_rows].reshape(len(frames), layout.num_bodies, -1, 3)
    present: NDArray[np.bool_] = np.any(bodies, axis=(2, 3))
    sheet = Image.new("RGB", (_SIDE_PX, _SIDE_PX), "white")
    draw = ImageDraw.Draw(sheet)
    if skeleton.num_joints == 1:
        path = bodies[present[:, 0], 0, 0]
        if len(path) > 1:
            draw.line([tuple(point) for point in _on_sheet(path)], fill=_MIDDLE, width=2)
        return np.asarray(sheet)
    where = np.flatnonzero(np.any(present, axis=1))
    if not len(where):
        return np.asarray(sheet)
    middle = where[len(where) // 2]
    shown = bodies[middle, present[middle]]
    places = _on_sheet(shown.reshape(-1, 3)).reshape(len(shown), -1, 2)
    for body in places:
        for joint, parent in enumerate(skeleton.parents):
            name = skeleton.joint_names[joint]
            colour = _LEFT if name.startswith("left") else _RIGHT if name.startswith("right") else _MIDDLE
            if parent >= 0:
                draw.line([tuple(body[joint]), tuple(body[parent])], fill=colour, width=2)
            x, y = body[joint]
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
    return np.asarray(sheet)


def _on_sheet(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Points [N, 3] seen from the front, [N, 2] in pixels: as large as fits, the same scale across and up."""
    flat = points[:, :2].astype(np.float64) * (1, -1)
    low, high = flat.min(axis=0), flat.max(axis=0)
    extent = max(float((high - low).max()), 1e-9)
    placed: NDArray[np.float64] = (flat - (low + high) / 2) / extent * (_SIDE_PX - 16) + _SIDE_PX / 2
    return placed


def _view(prepared: PreparedSet, subset: Subset) -> View:
    return View(Frames.open(prepared.folder, torch.device("cpu")), subset)


def _body_lines(frames: NDArray[np.float32], layout: Layout) -> list[str]:
    """Position, height and torso length of bodies, which reveal a wrong axis or unit."""
    if layout.skeleton is None:
        return []
    bodies = frames[:, :, : layout.body_rows].reshape(*frames.shape[:2], layout.num_bodies, -1, 3)
    present: NDArray[np.bool_] = np.any(bodies, axis=(3, 4))
    main = bodies[:, :, 0][present[:, :, 0]]
    if not len(main):
        return ["bodies: none in any frame"]
    low, high = np.percentile(main.reshape(-1, 3), [1, 99], axis=0)
    ranges = ", ".join(f"{axis} {a:.2f} to {b:.2f}" for axis, a, b in zip("xyz", low, high, strict=True))
    height = np.median(np.ptp(main, axis=1), axis=0)
    lines = [f"main body: {ranges} (1st to 99th percentile)"]
    if layout.skeleton.num_joints > 1:
        lines.append(f"extent of a body in a frame: x {height[0]:.2f}, y {height[1]:.2f}, z {height[2]:.2f} (median)")
    if layout.skeleton.scale_joints is not None:
        lower, upper = layout.skeleton.scale_joints
        torso = np.median(np.linalg.norm(main[:, upper] - main[:, lower], axis=1))
        names = layout.skeleton.joint_names
        lines.append(f"torso, {names[lower]} to {names[upper]}: {torso:.3f} (median)")
    for body in range(layout.num_bodies):
        share = present[:, :, body].mean()
        if layout.num_bodies > 1 or share < 1:
            lines.append(f"body {body + 1} is present in {100 * share:.1f} % of frames")
    return lines


def _sensor_lines(frames: NDArray[np.float32], layout: Layout) -> list[str]:
    lines = []
    for row, (name, full_scale) in enumerate(layout.sensors.items(), start=layout.body_rows):
        signal = frames[:, :, row]
        beyond = 100 * (np.abs(signal) > full_scale).any(axis=-1).mean()
        lines.append(
            f"{name}: {signal.min():.3g} to {signal.max():.3g}, full scale {full_scale:g}"
            + (f" (exceeded in {beyond:.1f} % of frames)" if beyond > 0 else "")
        )
    return lines
