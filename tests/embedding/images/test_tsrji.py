from __future__ import annotations

import pytest
import torch
from support.layouts import ARM, LAYOUTS
from support.reference_images import NTU_WALK

from sldml.config.representation import RepresentationConfig
from sldml.embedding.images import represent
from sldml.embedding.images.tsrji import reference_joints, tsrji_rows
from sldml.recordings import KINECT_V1, KINECT_V2, Layout


def config(**options: object) -> RepresentationConfig:
    return RepresentationConfig.model_validate({"name": "tsrji", "steps": 8, "tsrji": options})


def test_the_references_of_ntu_are_shoulders_and_hips() -> None:
    layout = Layout(KINECT_V2, 1)
    assert reference_joints(config().chosen, layout) == (4, 8, 12, 16)
    rows = tsrji_rows(config(), layout)
    for i, reference in enumerate((4, 8, 12, 16)):
        block = rows[98 * i : 98 * i + 98]
        assert block[::2] == [reference] * 49
        assert block[1::2] == NTU_WALK
    assert len(rows) == 4 * 98


def test_rows_by_hand() -> None:
    """An arm's walk is 2 1 0 1 2 3 2, its references are 2 and 3; two arms and a sensor."""
    layout = Layout(ARM, 2, {"grip": 1.0})
    first = [2, 2, 2, 1, 2, 0, 2, 1, 2, 2, 2, 3, 2, 2]
    second = [3, 2, 3, 1, 3, 0, 3, 1, 3, 2, 3, 3, 3, 2]
    other = [row + 4 for row in first], [row + 4 for row in second]
    assert tsrji_rows(config(), layout) == [*first, *other[0], *second, *other[1], 8]
    assert tsrji_rows(config(reference="chest"), layout) == [*second, *other[1], 8]
    # Any joint will do, also one that is not declared as a reference.
    assert tsrji_rows(config(reference="wrist"), Layout(ARM, 1))[:4] == [0, 2, 0, 1]


def test_fixed_ranges_by_hand() -> None:
    layout = Layout(KINECT_V1, 1, {"acceleration": 8.0})
    signals = torch.zeros(1, 8, 21, 3)
    signals[0, :, :20] = torch.tensor([1.5, 5.0, 2.25])
    signals[0, :, 20] = torch.tensor([0.5, -2.0, 0.0])
    image = represent(signals, config(value_range="fixed"), layout)[0]
    # x 1.5 of -3…3, y beyond 2, z in the middle of 0.5…4; the sensor by its full scale.
    torch.testing.assert_close(image[:, 0, 0], torch.tensor([191.25, 255.0, 127.5]))
    torch.testing.assert_close(image[:, -1, 0], torch.tensor([191.25, 0.0, 127.5]))


@pytest.mark.parametrize("name", ["left_shoulder", "right_hip"])
def test_all_is_one_reference_below_the_other(name: str) -> None:
    signals = torch.randn(2, 8, 50, 3, generator=torch.Generator().manual_seed(0))
    height = 2 * 98
    place = KINECT_V2.reference_joints.index(KINECT_V2.joint_names.index(name))
    every = represent(signals, config(), LAYOUTS["ntu"])
    one = represent(signals, config(reference=name), LAYOUTS["ntu"])
    assert torch.equal(every[:, :, place * height : (place + 1) * height], one)
