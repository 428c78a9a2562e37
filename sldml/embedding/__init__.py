"""From a batch of signals [B, T, rows, 3] to embeddings [B, dim]: normalise, augment, represent, encode."""
