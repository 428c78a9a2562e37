"""Ray: the only place that imports it. Trials on a cluster, proposed by Optuna, cut short by ASHA.

Nothing is imported here: workers unpickle `sldml.search.trainable`, and what only a driver needs would cost each of
them seconds.
"""
