"""Search spaces: a checked tree of choices and ranges, and what a sampler needs of it (define-by-run)."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import pydantic
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Field

from sldml.config import EncoderConfig, NormalizeConfig, TrialConfig
from sldml.dotted import flatten, merge, unflatten
from sldml.errors import InputError
from sldml.parts import Part

Scalar = str | int | float | bool
_PROBES = 200


class SpaceError(InputError):
    """A search space, or parameters of one, that cannot be used."""


class SearchSettings(Part):
    """The `search` part: how the space is searched, and what becomes of the best."""

    trials: int = Field(24, ge=1)
    sampler: Literal["tpe", "random"] = "tpe"
    scheduler: Literal["asha", "none"] = "asha"
    grace_period: int = Field(3, ge=1)
    """ASHA stops no trial before this epoch."""
    reduction_factor: float = Field(3.0, gt=1.0)
    """ASHA lets one in this many go on at each rung."""
    seed: int = Field(0, ge=0)
    top_k: int = Field(3, ge=1)
    """So many configurations, the best by validation, are trained again for the sealed test."""
    final_seeds: int = Field(3, ge=1)
    """With so many seeds each."""


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


@dataclass(frozen=True)
class SearchSpace:
    """A checked search space. Calling it with an Optuna trial suggests its parameters (define-by-run)."""

    name: str
    text: str
    base: dict[str, Any]
    """Nested configuration of what is not searched."""
    search: SearchSettings
    root: Group

    @property
    def hash(self) -> str:
        """Of the file's text and of what was set over it."""
        content = self.text + repr(sorted(flatten(self.base))) + repr([(x.path, x.distribution) for x in self.leaves()])
        return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()

    def __call__(self, trial: Suggester) -> None:
        """Suggest every parameter that exists under the choices made on the way."""
        self.visit(lambda leaf: leaf.suggest(trial))

    def visit(self, value_of: Callable[[Leaf], Scalar]) -> dict[str, Scalar]:
        """Ask `value_of` for each parameter that exists under the choices it makes; the values by path."""
        params: dict[str, Scalar] = {}

        def chosen(path: str) -> Scalar | None:
            name = params.get(f"{path}.name")
            return name if name is not None else self.base.get(path, {}).get("name")

        def walk(node: Node) -> None:
            match node:
                case Leaf(path=path):
                    params[path] = value_of(node)
                case Group(members=members, when=when):
                    if all(chosen(path) in names for path, names in when):
                        for member in members:
                            walk(member)
                case Branches(options=options):
                    walk(node.name_leaf)
                    walk(options[str(params[node.name_leaf.path])])

        walk(self.root)
        return params

    def leaves(self) -> Iterator[Leaf]:
        """Every parameter there is, under whatever condition, names of branches among them."""
        yield from _leaves(self.root)

    def configure(self, params: Mapping[str, Scalar]) -> TrialConfig:
        """The whole configuration of sampled parameters; what comes out is what was sampled.

        Raises:
            SpaceError: the values do not go together or are no values of a configuration.
        """
        try:
            config = TrialConfig.model_validate(merge(self.base, unflatten(params)))
        except pydantic.ValidationError as error:
            path, message = first_fault(error)
            raise SpaceError(f"{path}: {message}" if path else message) from error
        dotted = config.dotted()
        for name, value in params.items():
            if dotted.get(name) != value:
                raise SpaceError(f"{name}: {value!r} was sampled, but {dotted.get(name)!r} came out")
        return config

    def distributions(self, params: Mapping[str, Scalar]) -> dict[str, BaseDistribution]:
        """The distribution of each parameter that exists under `params`.

        Raises:
            SpaceError: a parameter is missing from `params`, foreign to the space, or out of its range.
        """
        found: dict[str, BaseDistribution] = {}

        def look_up(leaf: Leaf) -> Scalar:
            value = params.get(leaf.path)
            if value is None or not _allows(leaf.distribution, value):
                raise SpaceError(f"{leaf.path}: {value!r} is not in {leaf.distribution}")
            found[leaf.path] = leaf.distribution
            return value

        self.visit(look_up)
        if foreign := set(params) - set(found):
            raise SpaceError(f"{min(foreign)} is not a parameter of the space {self.name} under these choices")
        return found

    def default_config(self) -> TrialConfig:
        """With the first of each choice and the lower end of each range: for what is known before sampling."""
        return self.configure(self.visit(lambda leaf: leaf.ends()[0]))

    def probe(self) -> None:
        """Build random configurations, so that values that do not go together are found now, not in a trial.

        Raises:
            SpaceError: there are such.
        """
        rng = random.Random(0)
        for _ in range(_PROBES):
            params = self.visit(lambda leaf: rng.choice(leaf.ends()))
            try:
                self.configure(params)
            except SpaceError as error:
                raise SpaceError(f"{error}, with {params}") from error

    def may_be(self, path: str, value: Scalar) -> bool:
        """Whether a configuration of this space can have `value` at `path`, searched or fixed."""
        node: Any = self.base
        for key in path.split("."):
            node = node.get(key) if isinstance(node, Mapping) else None
        return node == value or any(leaf.path == path and value in leaf.ends() for leaf in self.leaves())

    def normalizations(self) -> list[NormalizeConfig]:
        """Every normalisation that the space declares, fixed or as its choices."""
        choices = {leaf.path: leaf.ends() for leaf in self.leaves() if leaf.path.split(".")[0] == "normalize"}
        base = {"normalize": self.base.get("normalize", {})}
        combinations = itertools.product(*choices.values())
        parts = [merge(base, unflatten(dict(zip(choices, c, strict=True))))["normalize"] for c in combinations]
        return [NormalizeConfig.model_validate(part) for part in parts]

    def encoders(self) -> list[EncoderConfig]:
        """Every encoder that the space declares, each with its default parameters."""
        base = self.base.get("encoder", {})
        names = next((leaf.ends() for leaf in self.leaves() if leaf.path == "encoder.name"), None)
        if names is None:
            return [EncoderConfig.model_validate(base)]
        return [EncoderConfig.model_validate(merge(base, {"name": name})) for name in names]

    def fixed(self, path: str, value: Scalar) -> SearchSpace:
        """The space with one path set to a value and searched no more.

        What exists only in a branch or under a `when` gets the value there, as the one choice it has.

        Raises:
            SpaceError: there is no such path, or the value does not fit.
        """
        root, inside = _fix(self.root, path, value)
        base = self.base if inside else merge(self.base, unflatten({path: value}))
        space = replace(self, base=base, root=root)
        space.default_config()
        space.probe()
        return space


def first_fault(error: pydantic.ValidationError) -> tuple[str, str]:
    """(dotted path, message) of the first thing that pydantic refused."""
    fault = error.errors(include_url=False, include_context=False)[0]
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "there is no such key"
    elif not isinstance(fault["input"], dict):
        message = f"{message[0].lower()}{message[1:]}, but it is {fault['input']!r}"
    return ".".join(str(part) for part in fault["loc"]), message


def _leaves(node: Node) -> Iterator[Leaf]:
    match node:
        case Leaf():
            yield node
        case Group(members=members):
            for member in members:
                yield from _leaves(member)
        case Branches(options=options):
            yield node.name_leaf
            for option in options.values():
                yield from _leaves(option)


def _allows(distribution: BaseDistribution, value: Scalar) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    number = int if isinstance(distribution, IntDistribution) else int | float
    return isinstance(value, number) and bool(distribution.low <= value <= distribution.high)


def _fix(root: Group, path: str, value: Scalar) -> tuple[Group, bool]:
    """`root` without the parameter at `path`, and whether the value had to stay in it (it exists conditionally)."""
    inside = False

    def fix(node: Node, conditional: bool) -> Node:
        nonlocal inside
        match node:
            case Leaf(path=p) if p == path:
                if not conditional:
                    return Group(())
                inside = True
                return Leaf(path, CategoricalDistribution((value,)))
            case Group(members=members, when=when):
                return replace(node, members=tuple(fix(m, conditional or bool(when)) for m in members))
            case Branches(path=p, options=options):
                if path == f"{p}.name":
                    option = options.get(str(value), Group(()))
                    if not conditional:
                        return option
                    inside = True
                    return Branches(p, {str(value): option})
                return replace(node, options={k: _as_group(fix(o, True)) for k, o in options.items()})
        return node

    return _as_group(fix(root, False)), inside


def _as_group(node: Node) -> Group:
    return node if isinstance(node, Group) else Group((node,))
