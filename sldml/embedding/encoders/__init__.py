"""Encoders: networks that turn an image, or the signals themselves, into an embedding.

Every encoder goes the same way: features [B, channels, H, W] → pooling → dropout → projection [B, dim]. H are rows
and W is time, in an image as in the features of an encoder of signals.
"""

from sldml.embedding.encoders.base import Encoder
from sldml.embedding.encoders.build import (
    build_encoder,
    require_imagenet_weights,
    without_download,
)
from sldml.embedding.encoders.pretrained import WeightsError

__all__ = ["Encoder", "WeightsError", "build_encoder", "require_imagenet_weights", "without_download"]
