"""A contact sheet: many small images on one page, each with its caption."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_MARGIN_PX = 8
_FONT_PX = 13
_LINE_PX = 17
_INK = (40, 40, 40)
_PAPER = (255, 255, 255)
_MIN_CELL_PX = 90
_ELLIPSIS = "..."  # the font has no ellipsis character


def contact_sheet(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    captions: Sequence[str],
    *,
    num_columns: int | None = None,
    side_px: int = 224,
) -> Image.Image:
    """Lay out images in a grid, row by row, each with its caption below it.

    Height and width are scaled separately to at most `side_px`: smaller ones by a whole factor (nearest neighbour, so
    that pixels can be counted), larger ones down. For example, 20 rows × 64 steps become 220 × 192 pixels, and
    392 × 64 become 224 × 192.

    Args:
        images: uint8 [N, H, W, 3], or N of them [H, W, 3] of different sizes.
        captions: N captions; long ones are wrapped and cut after three lines. (Characters that Pillow's default font
            lacks appear as boxes.)
        num_columns: Images per row; None makes the grid about square.
        side_px: The largest height and width of an image on the sheet.

    Returns:
        An RGB image.

    Raises:
        ValueError: there is no image, one is not uint8 [H, W, 3], or the number of captions differs.
    """
    if len(images) == 0 or len(images) != len(captions):
        raise ValueError(f"as many captions as images are needed, at least one, not {len(captions)} and {len(images)}")
    scaled = [_scaled(image, side_px) for image in images]
    font = ImageFont.load_default(_FONT_PX)
    if num_columns is None:
        num_columns = math.ceil(math.sqrt(len(scaled)))
    num_columns = min(num_columns, len(scaled))
    rows = [range(i, min(i + num_columns, len(scaled))) for i in range(0, len(scaled), num_columns)]
    cell_px = max(_MIN_CELL_PX, *(image.width for image in scaled))
    lines = [_wrapped(caption, cell_px, font) for caption in captions]
    heights = [max(scaled[i].height + len(lines[i]) * _LINE_PX for i in row) + 4 for row in rows]
    width = num_columns * (cell_px + _MARGIN_PX) + _MARGIN_PX
    sheet = Image.new("RGB", (width, sum(heights) + (len(rows) + 1) * _MARGIN_PX), _PAPER)
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN_PX
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            left = _MARGIN_PX + column * (cell_px + _MARGIN_PX)
            sheet.paste(scaled[i], (left, top))
            for k, line in enumerate(lines[i]):
                draw.text((left, top + scaled[i].height + 3 + k * _LINE_PX), line, fill=_INK, font=font)
        top += height + _MARGIN_PX
    return sheet


def _scaled(image: NDArray[np.uint8], side_px: int) -> Image.Image:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"an image must be uint8 [height, width, 3], not {image.dtype} {list(image.shape)}")
    height, width = image.shape[:2]
    shrunk = Image.fromarray(image).resize((min(width, side_px), min(height, side_px)), Image.Resampling.BOX)
    size = (shrunk.width * (side_px // shrunk.width), shrunk.height * (side_px // shrunk.height))
    return shrunk.resize(size, Image.Resampling.NEAREST)


def _wrapped(caption: str, width_px: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """The caption in up to three lines that fit the width; only words longer than a line are broken."""
    lines = [""]
    for word in caption.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width_px:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if font.getlength(lines[-1] + letter) > width_px:
                lines.append("")
            lines[-1] += letter
    if len(lines) > 3:
        lines = lines[:3]
        while lines[2] and font.getlength(lines[2] + _ELLIPSIS) > width_px:
            lines[2] = lines[2][:-1]
        lines[2] += _ELLIPSIS
    return lines
