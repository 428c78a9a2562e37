"""Encoders: networks from images, or from signals, to embeddings.

Every encoder computes features [B, channels, H, W] → pooling → dropout → projection [B, dim]. H are rows and W is time,
for images and for signals.
"""

from sldml.embedding.encoders.base import Encoder
from sldml.embedding.encoders.build import build_encoder, require_imagenet_weights, without_download
from sldml.embedding.encoders.pretrained import WeightsError

__all__ = ["Encoder", "WeightsError", "build_encoder", "require_imagenet_weights", "without_download"]
