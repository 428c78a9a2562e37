"""What a person sees of recordings before anything is searched."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support.small import trial_config

from sldml.commands.inspection import inspection_lines, inspection_sheet, stick_figure
from sldml.prepared.prepared_set import PreparedSet
from sldml.recordings import HAND, KINECT_V2, Layout

BACKGROUND = 255


@pytest.fixture
def fused(tmp_path: Path) -> PreparedSet:
    """Two recordings of a body that stands 1.6 m high at 3 m, the second body absent, and a sensor that clips."""
    layout = Layout(KINECT_V2, 2, {"acceleration": 8.0})
    frames = np.zeros((20, layout.num_rows, 3), dtype=np.float32)
    frames[:, :25, 0] = np.linspace(-0.2, 0.2, 25)
    frames[:, :25, 1] = np.linspace(-0.8, 0.8, 25)
    frames[:, :25, 2] = 3.0
    frames[:, 50, 0] = np.linspace(-4.0, 9.0, 20)
    np.save(tmp_path / "signals.npy", frames)
    np.save(tmp_path / "held.npy", np.zeros(20, dtype=np.int32))
    catalog = pd.DataFrame(
        {
            "name": ["S001C003P008R001A001", "S001C003P008R001A002"],
            "label": ["A001", "A002"],
            "subject": ["P008", "P008"],
            "offset": [0, 10],
            "length": [10, 10],
            "rate_hz": [30.0, 25.0],
        }
    )
    meta = {"layout": layout.to_json()}
    (tmp_path / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    return PreparedSet(tmp_path, catalog, meta)


def test_wrong_axes_and_units_would_show(fused: PreparedSet) -> None:
    lines = inspection_lines(fused, trial_config())
    assert lines[:6] == [
        "rate: 25 to 30 Hz",
        "main body: x -0.20 to 0.20, y -0.80 to 0.80, z 3.00 to 3.00 (1st to 99th percentile)",
        "extent of a body in a frame: x 0.40, y 1.60, z 0.00 (median)",
        # From joint 0 to joint 20 of 25 that stand in a line.
        f"torso, spine_base to spine_shoulder: {np.hypot(0.4, 1.6) * 20 / 24:.3f} (median)",
        "body 1 is present in 100.0 % of frames",
        "body 2 is present in 0.0 % of frames",
    ]
    assert lines[6].startswith("acceleration: -4 to 9, full scale 8 (exceeded in ")
    assert lines[7].startswith("protocol: not applicable: NTU RGB+D 120 one-shot needs two ")


def test_the_protocol_is_told(made_set: PreparedSet) -> None:
    lines = inspection_lines(made_set, trial_config())
    assert lines[0] == "rate: 30 Hz"
    assert any(line.startswith("protocol: NTU RGB+D 120 one-shot: 8 auxiliary and 20 novel classes") for line in lines)


def test_the_sheet_has_a_figure_and_an_image_of_a_recording_of_each_class(made_set: PreparedSet) -> None:
    sheet = inspection_sheet(made_set, trial_config())
    assert sheet.width > 400
    assert sheet.height > 400
    pixels = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 100  # images are coloured


def test_a_figure_stands_upright_and_fills_its_square() -> None:
    frames = np.zeros((3, 25, 3), dtype=np.float32)
    frames[:, :, 1] = np.linspace(-0.8, 0.8, 25)
    frames[:, KINECT_V2.joint_names.index("head"), 0] = 0.1
    drawn = stick_figure(frames, Layout(KINECT_V2, 1))
    assert drawn.shape == (192, 192, 3)
    rows, columns = np.nonzero((drawn != BACKGROUND).any(axis=2))
    assert np.ptp(rows) > 160
    assert np.ptp(columns) < 40


def test_left_and_right_have_their_colours() -> None:
    frames = np.zeros((1, 25, 3), dtype=np.float32)
    for joint, name in enumerate(KINECT_V2.joint_names):
        frames[0, joint] = (-1.0 if name.startswith("left") else 1.0 if name.startswith("right") else 0.0, joint, 2.0)
    drawn = stick_figure(frames, Layout(KINECT_V2, 1)).astype(int)
    redder = drawn[..., 0] > drawn[..., 2] + 100
    bluer = drawn[..., 2] > drawn[..., 0] + 100
    assert np.nonzero(redder)[1].mean() < 96 < np.nonzero(bluer)[1].mean()


def test_a_single_point_is_shown_as_its_path() -> None:
    path = np.zeros((30, 1, 3), dtype=np.float32)
    path[:, 0, 0] = np.cos(np.linspace(0, 2 * np.pi, 30))
    path[:, 0, 1] = np.sin(np.linspace(0, 2 * np.pi, 30))
    drawn = (stick_figure(path, Layout(HAND, 1)) != BACKGROUND).any(axis=2)
    assert drawn[96, 6:14].any()
    assert drawn[6:14, 96].any()
    assert not drawn[70:120, 70:120].any()


def test_nobody_is_an_empty_square() -> None:
    drawn = stick_figure(np.zeros((4, 25, 3), dtype=np.float32), Layout(KINECT_V2, 1))
    assert (drawn == BACKGROUND).all()
    assert Image.fromarray(drawn).size == (192, 192)
