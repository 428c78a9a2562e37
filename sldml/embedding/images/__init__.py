"""Representations: from a batch of signals to a batch of images for an encoder."""

from sldml.embedding.images.represent import check_representation, image_shape, represent, to_input
from sldml.embedding.images.rows import drawn_rows

__all__ = ["check_representation", "drawn_rows", "image_shape", "represent", "to_input"]
