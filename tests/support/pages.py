"""What a report consists of, and its text alone."""

import re

FIGURES = (
    *("search_history", "learning_curves", "importance", "choice_map", "slices", "parallel"),
    *("confusion", "embedding_map", "timeline", "time_spent"),
)
SECTIONS = ("summary", "leaderboard", "history", "curves", "parameters", "classes", "time", "trials", "environment")
AFTER_THE_TEST = ("map", "confused")


def text_of(page: str) -> str:
    """The page without its scripts and styles."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
