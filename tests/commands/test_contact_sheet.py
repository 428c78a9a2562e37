from __future__ import annotations

import numpy as np
import pytest

from sldml.commands.contact_sheet import contact_sheet


def one_colour(height: int, width: int, *color: int) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def test_small_pictures_are_enlarged_by_whole_numbers_and_large_ones_fit():
    sheet = np.asarray(contact_sheet([one_colour(20, 64, 255, 0, 0), one_colour(500, 100, 0, 0, 255)], ["a", "b"]))
    red, blue = ((sheet == color).all(axis=2) for color in ([255, 0, 0], [0, 0, 255]))
    for mask, (height, width) in ((red, (220, 192)), (blue, (224, 200))):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert (len(rows), len(columns), mask.sum()) == (height, width, height * width)
    assert np.flatnonzero(red.any(axis=0)).max() < np.flatnonzero(blue.any(axis=0)).min()


def test_pixels_stay_sharp():
    picture = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    sheet = np.asarray(contact_sheet([picture], ["noise"], side_px=40))
    shown = sheet[8 : 8 + 40, 8 : 8 + 40]
    assert (shown == picture.repeat(10, axis=0).repeat(8, axis=1)).all()


def test_rows_are_filled_from_the_left_and_captions_stand_below():
    pictures = [one_colour(10, 10, k + 1, 0, 0) for k in range(5)]
    sheet = np.asarray(contact_sheet(np.stack(pictures), [f"number {k}" for k in range(5)], num_columns=2, side_px=100))
    corners = []
    for k in range(5):
        rows, columns = np.nonzero((sheet == [k + 1, 0, 0]).all(axis=2))
        corners.append((rows.min(), columns.min()))
        below = sheet[rows.max() + 1 : rows.max() + 18, columns.min() : columns.max()]
        assert (below.min(axis=2) < 128).any()  # ink
    assert corners[0][0] == corners[1][0] < corners[2][0] == corners[3][0] < corners[4][0]
    assert corners[0][1] == corners[2][1] == corners[4][1] < corners[1][1] == corners[3][1]


def test_a_long_caption_makes_room_and_ends():
    short, long = (contact_sheet([one_colour(9, 9, 0, 0, 0)], [text]) for text in ("a", "word " * 300 + "x" * 500))
    assert short.width == long.width
    assert short.height + 34 == long.height


@pytest.mark.parametrize(
    ("images", "captions", "message"),
    [
        ([], [], "at least one"),
        ([one_colour(2, 2, 0, 0, 0)], ["a", "b"], "as many captions"),
        ([np.zeros((2, 2, 3), np.float32)], ["a"], r"uint8 \[height, width, 3\], not float32 \[2, 2, 3\]"),
        ([np.zeros((2, 2), np.uint8)], ["a"], r"not uint8 \[2, 2\]"),
    ],
)
def test_anything_else_is_refused(images, captions, message):
    with pytest.raises(ValueError, match=message):
        contact_sheet(images, captions)
