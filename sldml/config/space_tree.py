"""The tree of a search space: sampled leaves, groups, and branches that own their parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sldml.errors import InputError

Scalar = str | int | float | bool


class SpaceError(InputError):
    """A search space or its parameters are invalid."""


class Suggester(Protocol):
    """The part of the interface of `optuna.Trial` that a space uses."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Suggest one of the choices."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Suggest a float from low to high, on a linear or logarithmic scale."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Suggest an integer from low to high (inclusive)."""


@dataclass(frozen=True)
class Leaf:
    """A searched number or choice."""

    path: str
    distribution: BaseDistribution

    def suggest(self, trial: Suggester) -> Scalar:
        """Suggest a value."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            value: Scalar = trial.suggest_categorical(self.path, d.choices)
            return value
        if isinstance(d, IntDistribution):
            return trial.suggest_int(self.path, d.low, d.high, log=d.log)
        assert isinstance(d, FloatDistribution)
        return trial.suggest_float(self.path, d.low, d.high, log=d.log)

    def options(self) -> tuple[Scalar, ...]:
        """All values.

        Raises:
            SpaceError: it is a range of floats.
        """
        d = self.distribution
        if isinstance(d, FloatDistribution):
            raise SpaceError(f"{self.path} is a range of floats, which cannot be enumerated")
        return tuple(d.choices) if isinstance(d, CategoricalDistribution) else tuple(range(d.low, d.high + 1))

    def ends(self) -> tuple[Scalar, ...]:
        """All choices, or both ends of the range."""
        d = self.distribution
        return tuple(d.choices) if isinstance(d, CategoricalDistribution) else (d.low, d.high)

    def middle(self) -> Scalar:
        """The first choice, or the middle of the range on its own scale."""
        match self.distribution:
            case IntDistribution(low=low, high=high, log=log):
                return round(math.sqrt(low * high)) if log else (low + high) // 2
            case FloatDistribution(low=low, high=high, log=log):
                return math.sqrt(low * high) if log else (low + high) / 2
            case _:
                return self.ends()[0]


@dataclass(frozen=True)
class Branches:
    """A choice (`<path>.name`) whose branches own their parameters."""

    path: str
    options: dict[str, Group]

    @property
    def name_leaf(self) -> Leaf:
        """The parameter that selects the branch."""
        return Leaf(f"{self.path}.name", CategoricalDistribution(tuple(self.options)))


@dataclass(frozen=True)
class Group:
    """Parts that exist under the same condition."""

    members: tuple[Leaf | Group | Branches, ...]
    when: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Conditions, of which all must hold: (path of an earlier choice, allowed names)."""


Node = Leaf | Group | Branches


class Odometer:
    """Enumerates the combinations of leaves that are visited in order, the last one fastest."""

    def __init__(self) -> None:
        self._ahead: list[int] = []
        self._taken: list[tuple[int, int]] = []

    def take(self, leaf: Leaf) -> Scalar:
        """The current option of a leaf."""
        options, place = leaf.options(), len(self._taken)
        index = self._ahead[place] if place < len(self._ahead) else 0
        self._taken.append((index, len(options)))
        return options[index]

    def advance(self) -> bool:
        """Advance to the next combination; False after the last one."""
        taken, self._taken = self._taken, []
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        self._ahead = [index for index, _ in taken[:-1]] + [taken[-1][0] + 1] if taken else []
        return bool(taken)


def leaves_of(node: Node) -> Iterator[Leaf]:
    """All parameters of a tree, including the names of branches, in the order of the file."""
    match node:
        case Leaf():
            yield node
        case Group(members=members):
            for member in members:
                yield from leaves_of(member)
        case Branches(options=options):
            yield node.name_leaf
            for option in options.values():
                yield from leaves_of(option)


def allows(distribution: BaseDistribution, value: Scalar) -> bool:
    """Whether a distribution contains a value."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    number = int if isinstance(distribution, IntDistribution) else int | float
    return isinstance(value, number) and bool(distribution.low <= value <= distribution.high)


def fix(root: Group, path: str, value: Scalar) -> tuple[Group, bool]:
    """Fix a parameter: returns the new tree, and whether the value stayed in it (for a conditional parameter)."""
    inside = False

    def within(node: Node, conditional: bool) -> Node:
        nonlocal inside
        match node:
            case Leaf(path=p) if p == path:
                if not conditional:
                    return Group(())
                inside = True
                return Leaf(path, CategoricalDistribution((value,)))
            case Group(members=members, when=when):
                return replace(node, members=tuple(within(m, conditional or bool(when)) for m in members))
            case Branches(path=p, options=options):
                if path == f"{p}.name":
                    option = options.get(str(value), Group(()))
                    if not conditional:
                        return option
                    inside = True
                    return Branches(p, {str(value): option})
                return replace(node, options={k: _as_group(within(o, True)) for k, o in options.items()})
        return node

    return _as_group(within(root, False)), inside


def drop(root: Group, path: str) -> Group:
    """The tree without a parameter; without the name of branches, they are all left out."""

    def within(node: Node) -> Node:
        match node:
            case Leaf(path=p) if p == path:
                return Group(())
            case Group(members=members):
                return replace(node, members=tuple(within(member) for member in members))
            case Branches(path=p, options=options):
                if path == f"{p}.name":
                    return Group(())
                return replace(node, options={name: _as_group(within(option)) for name, option in options.items()})
        return node

    return _as_group(within(root))


def _as_group(node: Node) -> Group:
    return node if isinstance(node, Group) else Group((node,))
