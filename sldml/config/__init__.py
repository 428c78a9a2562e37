"""What may be written: the configuration of a trial, and the search space that it is drawn from.

Nothing is imported here: processes that only read recordings load `sldml.config.data` and no more.
"""
