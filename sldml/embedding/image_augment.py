"""Imported images, and random changes of images, in batches on the device.

Of the published image folders only the images are known, not the bodies in them, so only the image itself can be
changed. For signals, `sldml.embedding.augment` is better: it changes what could have been different in front of the
sensor. If both are on, the image is changed last.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sldml.config.representation import ImageAugment

_OUTSIDE = 2.0
"""In the coordinates of a grid, where the image ends at -1 and 1."""


def imported_images(signals: Tensor) -> Tensor:
    """View signals of imported images [B, columns, rows, 3] as the images [B, 3, rows, columns] that they were."""
    return signals.permute(0, 3, 2, 1)


def augment_images(images: Tensor, config: ImageAugment, generator: torch.Generator | None = None) -> Tensor:
    """Crop, mirror, turn, shear and tilt each image by its own random amounts, all in one resampling.

    Args:
        images: float [B, 3, H, W]; not modified.
        config: Largest amounts; 0 is off and draws nothing.
        generator: Source of all random numbers, on its own device; None for torch's generator of the images' device.
            How many are drawn depends only on the batch's size and on which changes are on.

    Returns:
        float [B, 3, H, W]; 0 (black) outside of the image. The same tensor if all changes are off.
    """
    if not config.is_on:
        return images
    device = images.device if generator is None else generator.device
    transforms = random_transforms(len(images), (images.shape[2], images.shape[3]), config, generator, device)
    return warp(images, transforms.to(images.device))


def random_transforms(
    num_images: int,
    size: tuple[int, int],
    config: ImageAugment,
    generator: torch.Generator | None,
    device: torch.device,
) -> Tensor:
    """Draw for each image the projective transform [num_images, 3, 3] that `warp` takes.

    An image is first cropped, then mirrored, then scaled, sheared, turned and shifted about its centre, and tilted
    last. Angles are those of an image of `size` (height, width) with square pixels.
    """

    def uniform(*shape: int) -> Tensor:
        """From -1 to 1."""
        return 2 * torch.rand((num_images, *shape), generator=generator, device=device) - 1

    # From an output pixel back to its source: the last change is undone first.
    back = torch.eye(3, device=device).expand(num_images, 3, 3)
    if config.perspective > 0:
        inwards = config.perspective * (uniform(4, 2) + 1) / 2
        back = from_corners(_CORNERS.to(device) * (1 - inwards))
    if config.translate > 0:
        back = _shift(-2 * config.translate * uniform(2)) @ back
    if config.rotation_deg > 0:
        back = rotation(config.rotation_deg * uniform(), size) @ back
    if config.shear_deg > 0:
        back = _shear(config.shear_deg * uniform(), size) @ back
    if config.scale > 0:
        back = _scale(1 / (1 + config.scale * uniform())) @ back
    if config.flip > 0:
        mirrored = (uniform() + 1) / 2 < config.flip
        back = _scale(1 - 2 * mirrored.to(back.dtype), torch.ones(num_images, device=device)) @ back
    if config.crop > 0:
        cut, where = config.crop * (uniform() + 1) / 2, uniform(2)
        back = _shift(cut.unsqueeze(1) * where) @ _scale(1 - cut) @ back
    return back


def warp(images: Tensor, transforms: Tensor) -> Tensor:
    """Sample images [B, C, H, W] bilinearly at projectively transformed places; 0 outside.

    Args:
        images: float [B, C, H, W].
        transforms: [B, 3, 3], from a place in the output to its place in the input, in coordinates (x, y) from -1
            (outer edge of the first column or row) to 1 (outer edge of the last). A place beyond the horizon,
            whose third coordinate is not positive, is outside.
    """
    _, _, height, width = images.shape
    x, y = (torch.arange(n, device=images.device, dtype=images.dtype) for n in (width, height))
    x, y = (2 * x + 1) / width - 1, (2 * y + 1) / height - 1
    transforms = transforms.to(images.dtype)
    # [B, H, W, 3] = M (x, y, 1), summed from its parts along the two axes.
    along_x = transforms[:, None, None, :, 0] * x[None, None, :, None]
    along_y = transforms[:, None, None, :, 1] * y[None, :, None, None]
    places = along_x + along_y + transforms[:, None, None, :, 2]
    depth = places[..., 2:]
    grid = torch.where(depth > 1e-6, places[..., :2] / depth.clamp(min=1e-6), _OUTSIDE)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def rotation(angle_deg: Tensor, size: tuple[int, int]) -> Tensor:
    """Transforms [B, 3, 3] for `warp` that turn images counter-clockwise by [B] degrees about their centre."""
    radians = torch.deg2rad(angle_deg)
    height, width = size
    one, zero = torch.ones_like(radians), torch.zeros_like(radians)
    cosine, sine = radians.cos(), radians.sin()
    # Downwards is +y, and a pixel's sides are 2 / width and 2 / height.
    return _matrix([[cosine, -sine * height / width, zero], [sine * width / height, cosine, zero], [zero, zero, one]])


def from_corners(corners: Tensor) -> Tensor:
    """Transforms [B, 3, 3] for `warp` that move the corners of images to [B, 4, 2], at most to the centre.

    Corners are top left, top right, bottom right, bottom left, in coordinates from -1 to 1, and must be those of a
    convex quadrilateral around the centre. The equations are those of a projective transform with 1 as its last
    entry, so that the centre is in front of the viewer.
    """
    x, y = corners.unbind(-1)
    u, v = _CORNERS.to(corners).expand_as(corners).unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows_u = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=-1)
    rows_v = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=-1)
    solution = torch.linalg.solve(torch.cat([rows_u, rows_v], dim=1), torch.cat([u, v], dim=1))
    return torch.cat([solution, torch.ones_like(solution[:, :1])], dim=1).view(-1, 3, 3)


_CORNERS = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def _shear(angle_deg: Tensor, size: tuple[int, int]) -> Tensor:
    """Rows slide along x, by the tangent of the angle for each pixel downwards."""
    height, width = size
    one, zero = torch.ones_like(angle_deg), torch.zeros_like(angle_deg)
    slide = torch.tan(torch.deg2rad(angle_deg)) * height / width
    return _matrix([[one, -slide, zero], [zero, one, zero], [zero, zero, one]])


def _scale(along_x: Tensor, along_y: Tensor | None = None) -> Tensor:
    return torch.diag_embed(
        torch.stack([along_x, along_x if along_y is None else along_y, torch.ones_like(along_x)], -1)
    )


def _shift(offset: Tensor) -> Tensor:
    """By offsets [B, 2]."""
    one, zero = torch.ones_like(offset[:, 0]), torch.zeros_like(offset[:, 0])
    return _matrix([[one, zero, offset[:, 0]], [zero, one, offset[:, 1]], [zero, zero, one]])


def _matrix(entries: list[list[Tensor]]) -> Tensor:
    """[B, 3, 3] of 3 × 3 entries [B]."""
    return torch.stack([torch.stack(row, dim=-1) for row in entries], dim=-2)
