"""Prepared sets: recordings as one memory-mapped array with a catalogue, and batches from it resampled in time."""
