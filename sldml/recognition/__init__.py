"""One-shot recognition: distances, the nearest exemplar, training-free baselines, the saved recogniser."""
