"""One-shot action recognition by deep metric learning, chosen by search."""
