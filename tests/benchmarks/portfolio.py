"""Whether configurations that were good on other datasets are a good beginning: leave one dataset out.

Run: python -m tests.benchmarks.portfolio [--size 8] [--seeds 200] [--jobs 2]

For each recorded set, a portfolio is chosen from the configurations that were recorded on both of the others. Each next
one is that with which the portfolio is worth most: the mean, over sets and class folds, of the held-out accuracy of the
member with the best validation accuracy, in standard deviations of the set. A replayed search (`replay.py`) begins with
them; its table has the same search without, and random search.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from tests.benchmarks.record_curves import SETS
from tests.benchmarks.recorded import Recorded, recorded
from tests.benchmarks.replay import Cell, Rules, print_table, searched

RULES = Rules(grace_period=3, factor=2.0, finalists=1)
WITH, WITHOUT, RANDOM = "portfolio, random+promotion", "random+promotion", "random+none"
MEMBER = 0.1
"""The weight of a member's own accuracy, which decides where it is the best on no fold."""


def main() -> None:
    """Print each portfolio, what its members are worth on the set that was left out, and the table of searches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    with Parallel(n_jobs=arguments.jobs) as parallel:
        for name in SETS:
            curves, others = recorded(name), [recorded(other) for other in SETS if other != name]
            members = portfolio(others, arguments.size)
            print(f"\n{name}, from {' and '.join(other.name for other in others)}:")
            for params in members:
                known = f"{curves.held_out[curves.params.index(params)]:.3f}" if params in curves.params else "unknown"
                print(f"  {known} {', '.join(f'{path}={_short(value)}' for path, value in params.items())}")

            def run(name: str, label: str, members: Sequence[dict[str, Any]] = members) -> Cell:
                first, pair = (members, WITHOUT) if label == WITH else ((), label)
                seeds = range(arguments.seeds)
                return Cell(label, np.array(parallel(delayed(searched)(name, pair, RULES, s, first) for s in seeds)))

            print_table(curves, [RANDOM, WITHOUT, WITH], run)


def portfolio(sets: Sequence[Recorded], size: int) -> list[dict[str, Any]]:
    """The members, in the order in which they were chosen."""
    common = [params for params in sets[0].params if all(params in other.params for other in sets[1:])]
    val, held_out = [], []
    for curves in sets:
        places = [curves.params.index(params) for params in common]
        val.append(curves.val[places, :, -1])
        held_out.append((curves.held_out[places] - curves.held_out.mean()) / curves.held_out.std())
    chosen: list[int] = []

    def worth(candidate: int) -> float:
        members = np.array([*chosen, candidate])
        best = [h[members[v[members].argmax(axis=0)]].mean() for v, h in zip(val, held_out, strict=True)]
        return float(np.mean(best) + MEMBER * np.mean([h[candidate] for h in held_out]))

    for _ in range(size):
        chosen.append(max((place for place in range(len(common)) if place not in chosen), key=worth))
    return [common[place] for place in chosen]


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
