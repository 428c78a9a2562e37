"""Readers: one module per source, each with `find(folder)` and `read(path)`."""
