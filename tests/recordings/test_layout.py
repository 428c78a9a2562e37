"""What the rows of a recording are: bodies, sensors, and a part of them."""

from __future__ import annotations

import pytest
import torch

from sldml.recordings import KINECT_V1, Layout


def test_a_part_of_a_layout_takes_its_rows() -> None:
    layout = Layout(KINECT_V1, 2, {"acceleration": 8.0, "rotation": 1000.0})
    signals = torch.arange(42.0).view(1, 1, 42, 1).expand(2, 3, 42, 3)
    bodies, sensors = layout.part("bodies"), layout.part("sensors")
    assert bodies == Layout(KINECT_V1, 2)
    assert sensors == Layout(None, 0, {"acceleration": 8.0, "rotation": 1000.0})
    assert layout.part("all") is layout
    for taker in (layout, bodies):
        assert taker.take_rows(signals, "bodies")[0, 0, :, 0].tolist() == list(range(40))
    for taker in (layout, sensors):
        assert taker.take_rows(signals, "sensors")[1, 2, :, 2].tolist() == [40.0, 41.0]
    assert layout.take_rows(signals, "all") is signals
    for part, rows in ((bodies, "bodies"), (sensors, "sensors")):
        assert part.part(rows) == part  # type: ignore[arg-type]
        own = layout.take_rows(signals, rows)  # type: ignore[arg-type]
        assert torch.equal(part.take_rows(own, rows), own)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there are no sensors among the 40 rows"):
        bodies.part("sensors")
    with pytest.raises(ValueError, match="there are no bodies among the 2 rows"):
        sensors.part("bodies")
