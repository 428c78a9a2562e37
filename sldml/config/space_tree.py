"""The tree of a search space: leaves that are sampled, groups, and branches that own their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sldml.errors import InputError

Scalar = str | int | float | bool


class SpaceError(InputError):
    """A search space, or parameters of one, that cannot be used."""


class Suggester(Protocol):
    """What a sampler offers a define-by-run space: the part of `optuna.Trial` that is needed."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number from low to high, evenly or (`log`) evenly in its logarithm."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number from low to high, both included."""


@dataclass(frozen=True)
class Leaf:
    """One searched number or choice."""

    path: str
    distribution: BaseDistribution

    def suggest(self, trial: Suggester) -> Scalar:
        """Ask the sampler for a value."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            value: Scalar = trial.suggest_categorical(self.path, d.choices)
            return value
        if isinstance(d, IntDistribution):
            return trial.suggest_int(self.path, d.low, d.high, log=d.log)
        assert isinstance(d, FloatDistribution)
        return trial.suggest_float(self.path, d.low, d.high, log=d.log)

    def options(self) -> tuple[Scalar, ...]:
        """Every value.

        Raises:
            SpaceError: it is a range of numbers between which there are always more.
        """
        d = self.distribution
        if isinstance(d, FloatDistribution):
            raise SpaceError(f"{self.path} is a range, which has no end of values")
        return tuple(d.choices) if isinstance(d, CategoricalDistribution) else tuple(range(d.low, d.high + 1))

    def ends(self) -> tuple[Scalar, ...]:
        """Every choice, or both ends of the range."""
        d = self.distribution
        return tuple(d.choices) if isinstance(d, CategoricalDistribution) else (d.low, d.high)


@dataclass(frozen=True)
class Branches:
    """A choice (`<path>.name`) whose branches own their parameters."""

    path: str
    options: dict[str, Group]

    @property
    def name_leaf(self) -> Leaf:
        """The choice of the branch itself."""
        return Leaf(f"{self.path}.name", CategoricalDistribution(tuple(self.options)))


@dataclass(frozen=True)
class Group:
    """Parts that exist together, under the same condition."""

    members: tuple[Leaf | Group | Branches, ...]
    when: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(path of an earlier choice, the names that it may have): all of them must hold."""


Node = Leaf | Group | Branches


class Odometer:
    """Counts through the options of leaves that are met one after another, the last one fastest."""

    def __init__(self) -> None:
        self._ahead: list[int] = []
        self._taken: list[tuple[int, int]] = []

    def take(self, leaf: Leaf) -> Scalar:
        """The option that is this leaf's turn."""
        options, place = leaf.options(), len(self._taken)
        index = self._ahead[place] if place < len(self._ahead) else 0
        self._taken.append((index, len(options)))
        return options[index]

    def advance(self) -> bool:
        """Go on to the next combination: the last leaf with another option left takes it, later ones begin anew."""
        taken, self._taken = self._taken, []
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        self._ahead = [index for index, _ in taken[:-1]] + [taken[-1][0] + 1] if taken else []
        return bool(taken)


def leaves_of(node: Node) -> Iterator[Leaf]:
    """Every parameter of a tree, names of branches among them, in the order of the file."""
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
    """Whether a value is one of a choice's, or within a range."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    number = int if isinstance(distribution, IntDistribution) else int | float
    return isinstance(value, number) and bool(distribution.low <= value <= distribution.high)


def fix(root: Group, path: str, value: Scalar) -> tuple[Group, bool]:
    """`root` without the parameter at `path`, and whether the value had to stay in it (it exists conditionally)."""
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


def _as_group(node: Node) -> Group:
    return node if isinstance(node, Group) else Group((node,))
