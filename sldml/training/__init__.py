"""Losses, miners, optimisers and the training loop; `trial.py` shows one configuration on one page."""
