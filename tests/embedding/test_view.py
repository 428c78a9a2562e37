import numpy as np
import pytest
import torch
from support.layouts import LAYOUTS
from support.small import frames_of, subset_of

from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Split
from sldml.recordings import Layout, Rows

FUSED = LAYOUTS["fused"]
LENGTHS = [3, 5, 2, 4]


@pytest.fixture
def values() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, FUSED.num_rows, 3)).astype(np.float32) for n in LENGTHS]


def view_of(values: list[np.ndarray], rows: Rows) -> View:
    subset = subset_of([0, 1, 0, 1], LENGTHS)
    return View(frames_of(values, FUSED), type(subset)(**{**vars(subset), "rows": rows}))


@pytest.mark.parametrize(
    ("rows", "taken"), [("all", slice(0, 22)), ("bodies", slice(0, 20)), ("sensors", slice(20, 22))]
)
def test_a_view_has_the_rows_of_its_subset(values: list[np.ndarray], rows: Rows, taken: slice) -> None:
    view = view_of(values, rows)
    assert view.layout == FUSED.part(rows)
    for i, own in enumerate(values):
        assert np.array_equal(view.recorded(i), own[:, taken])
        assert view.recorded(i).flags["C_CONTIGUOUS"]
    batch = view.batch(torch.tensor([2, 1]), 5)
    assert batch.shape == (2, 5, view.layout.num_rows, 3)
    assert np.allclose(batch[1], values[1][:, taken], atol=1e-6)  # has five frames already
    assert np.array_equal(batch[0, [0, -1]], values[2][:, taken])


def test_a_subset_whose_rows_are_not_there_makes_no_view() -> None:
    frames = frames_of([np.ones((2, 50, 3), np.float32)], LAYOUTS["ntu"])
    subset = subset_of([0], [2])
    with pytest.raises(ValueError, match="there are no sensors among the 50 rows"):
        View(frames, type(subset)(**{**vars(subset), "rows": "sensors"}))


def test_recordings_are_taken_with_their_labels_and_names(values: list[np.ndarray]) -> None:
    view = view_of(values, "bodies").take(np.array([3, 0]))
    assert (len(view), view.labels.tolist(), view.classes) == (2, [1, 0], ("class 0", "class 1"))
    assert view.names == ("recording 3", "recording 0")
    assert view.layout == FUSED.part("bodies")
    assert np.array_equal(view.recorded(0), values[3][:, :20])
    assert torch.equal(view.resampled(4), view.batch(torch.tensor([0, 1]), 4))


def test_a_sample_is_that_of_the_subset(made_split: Split, made_frames: Frames) -> None:
    queries = View(made_frames, made_split.sealed.queries)
    assert queries.sample(30).names == made_split.sealed.queries.sample(30).names


def test_recordings_in_memory_are_seen_as_prepared_ones_are(
    made_set: PreparedSet, made_split: Split, made_frames: Frames
) -> None:
    """Also their dropped frames, of which the made recordings have some."""
    prepared = View(made_frames, made_split.sealed.queries)
    in_memory = View.of([prepared.recorded(i) for i in range(len(prepared))], made_set.layout, torch.device("cpu"))
    assert (len(in_memory), in_memory.classes) == (len(prepared), ())
    assert any(not prepared.recorded(i).any(axis=(1, 2)).all() for i in range(len(prepared)))  # or it says nothing
    assert torch.equal(in_memory.resampled(20), prepared.resampled(20))


def test_black_columns_of_an_image_are_not_dropped_frames() -> None:
    image = np.zeros((4, 6, 3), np.float32)
    image[1] = 255
    view = View.of([image], Layout(None, 0, image_rows=6), torch.device("cpu"))
    assert np.array_equal(view.resampled(4)[0], image)
