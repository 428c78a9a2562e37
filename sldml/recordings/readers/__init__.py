"""Readers: one module for each source, each with `find(folder)` and `read(path)`."""
