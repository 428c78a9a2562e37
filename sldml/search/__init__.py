"""Ray: the only place that imports it. Trials on a cluster, proposed by Optuna, cut short by ASHA."""

from sldml.search.cluster import Slots, connected, serve_set, share_out
from sldml.search.run import run_finals, run_search
from sldml.search.trainable import Job, final_folder

__all__ = ["Job", "Slots", "connected", "final_folder", "run_finals", "run_search", "serve_set", "share_out"]
