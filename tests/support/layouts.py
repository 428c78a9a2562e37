"""Layouts of every kind that a source may have, and recordings for them."""

from __future__ import annotations

import torch

from sldml.recordings import HAND, KINECT_V1, KINECT_V2, Layout, Skeleton

ARM = Skeleton(
    name="arm",
    joint_names=("wrist", "elbow", "shoulder", "chest"),
    parents=(1, 2, 3, -1),
    root=3,
    scale_joints=None,
    view_joints=None,
    reference_joints=(2, 3),
    walk_start=2,
)
"""A skeleton as a person might declare it: the root has the highest number, the walk begins in the middle."""

SENSORS = {"acceleration": 8.0, "rotation": 1000.0}

LAYOUTS = {
    "ntu": Layout(KINECT_V2, 2),
    "skeleton": Layout(KINECT_V1, 1),
    "fused": Layout(KINECT_V1, 1, SENSORS),
    "inertial": Layout(None, 0, SENSORS),
    "hand": Layout(HAND, 1),
    "own": Layout(ARM, 3, {"grip": 1.0}),
}

HAS_REFERENCES = ("ntu", "skeleton", "fused", "own")


def random_signals(layout: Layout, num_recordings: int = 3, steps: int = 12, seed: int = 0) -> torch.Tensor:
    """Wandering values [B, T, rows, 3]: of the second recording the last body is absent for some steps, of the third
    all bodies are, always."""
    generator = torch.Generator().manual_seed(seed)
    signals = torch.randn(num_recordings, steps, layout.num_rows, 3, generator=generator).cumsum(1) / 4
    if layout.skeleton is not None and num_recordings >= 3:
        last_body = layout.body_rows - layout.skeleton.num_joints
        signals[1, 3:6, last_body : layout.body_rows] = 0
        signals[2, :, : layout.body_rows] = 0
    return signals
