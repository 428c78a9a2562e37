"""Searches on Ray, with proposals by Optuna and promotion of the best. The only package that imports Ray.

Nothing is imported here, because workers unpickle `sldml.search.trainable`, and imports for the driver alone would cost
each of them seconds.
"""
