from __future__ import annotations

import pytest
import torch
from support.layouts import ARM, LAYOUTS
from support.reference_images import NTU_WALK, naive_walk

from sldml.config.representation import RepresentationConfig
from sldml.embedding.images.rows import (
    column_positions,
    drawn_rows,
    joints_walked,
    present_rows,
    take_rows,
    walked_rows,
)
from sldml.recordings import HAND, KINECT_V1, KINECT_V2, Layout


@pytest.mark.parametrize("skeleton", [KINECT_V2, KINECT_V1, HAND, ARM], ids=lambda skeleton: skeleton.name)
def test_walks(skeleton):
    assert list(joints_walked(skeleton)) == naive_walk(skeleton)


def test_walks_by_hand():
    assert list(joints_walked(KINECT_V2)) == NTU_WALK
    assert joints_walked(ARM) == (2, 1, 0, 1, 2, 3, 2)
    assert joints_walked(HAND) == (0,)


def test_rows_by_hand():
    config = RepresentationConfig(num_bodies=2)
    own = LAYOUTS["own"]  # three arms of four joints and a sensor
    assert drawn_rows(config, own) == [0, 1, 2, 3, 4, 5, 6, 7, 12]
    # The walk counts the drawn rows, of which the sensor is the ninth.
    assert walked_rows(config, own) == [2, 1, 0, 1, 2, 3, 2, 6, 5, 4, 5, 6, 7, 6, 8]
    assert drawn_rows(config, LAYOUTS["inertial"]) == walked_rows(config, LAYOUTS["inertial"]) == [0, 1]
    assert drawn_rows(RepresentationConfig(), Layout(None, 0, image_rows=16)) == list(range(16))


def test_rows_that_are_all_there_cost_nothing():
    values = torch.randn(2, 3, 4)
    assert take_rows(values, [0, 1, 2], dim=1) is values
    assert torch.equal(take_rows(values, [2, 0, 2], dim=1), values[:, [2, 0, 2]])


def test_rows_taken_in_inference_serve_training_too():
    values = torch.randn(2, 3, requires_grad=True)
    with torch.inference_mode():
        take_rows(values, [1, 0], dim=1)
    take_rows(values, [1, 0], dim=1).sum().backward()
    assert torch.equal(values.grad, torch.tensor([[1.0, 1.0, 0.0]] * 2))


def test_a_body_is_there_where_any_joint_is_not_zero():
    signals = torch.zeros(1, 2, 13, 3)
    signals[0, 0, 5, 1] = 0.1
    present = present_rows(signals, LAYOUTS["own"])
    assert present[0].int().tolist() == [[0] * 4 + [1] * 4 + [0] * 4 + [1], [0] * 12 + [1]]


def test_columns_are_spread_from_the_first_to_the_last_step():
    before, after, weight = column_positions(4, 7, torch.device("cpu"))
    assert before.tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert after.tolist() == [1, 1, 2, 2, 3, 3, 3]
    assert weight.tolist() == [0, 0.5, 0, 0.5, 0, 0.5, 0]
