"""The configuration of a trial, and the search spaces that it is sampled from.

Nothing is imported here, so that processes that only read recordings load `sldml.config.data` alone.
"""
