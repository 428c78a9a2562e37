"""The difference of two finalists over repeated class folds.

The folds of a repeat share most of their training classes, and repeats use the same classes again, so the differences
are not independent: an ordinary paired t interval over them is too narrow. The corrected resampled t-test (Nadeau and
Bengio, 2003; for repeated folds Bouckaert and Frank, 2004) adds the ratio of validation to training classes,
1 / (k - 1) for k folds, to the 1 / n of its variance. Read as a posterior distribution of the difference (Benavoli et
al., 2017), the same t distribution gives the probability that the first finalist is better.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.special

from sldml.journal import PairedDifference


def paired_over_folds(first: Sequence[float], second: Sequence[float], num_folds: int) -> PairedDifference:
    """The mean difference `first` less `second`, with its 95 % interval and the probability that it is above zero.

    Args:
        first: [n] accuracies on the same folds as `second`, over one repeat or several.
        second: [n].
        num_folds: Number of folds in one repeat, at least 2.

    Returns:
        With fewer than two folds, the interval is [-1, 1] and the probability .5. If all differences are equal, the
        interval has no width, and the probability is 0, .5 or 1.

    Raises:
        ValueError: the two have different lengths.
    """
    differences = np.array([a - b for a, b in zip(first, second, strict=True)])
    count = len(differences)
    mean = float(differences.mean()) if count else 0.0
    if count < 2:
        return PairedDifference(mean=mean, ci95=(-1.0, 1.0), better=0.5)
    scale = float(differences.std(ddof=1)) * (1.0 / count + 1.0 / (num_folds - 1)) ** 0.5
    if scale == 0.0:
        return PairedDifference(mean=mean, ci95=(mean, mean), better=float(np.sign(mean) + 1.0) / 2.0)
    half = float(scipy.special.stdtrit(count - 1, 0.975)) * scale
    return PairedDifference(
        mean=mean,
        ci95=(max(-1.0, mean - half), min(1.0, mean + half)),
        better=float(scipy.special.stdtr(count - 1, mean / scale)),
    )
