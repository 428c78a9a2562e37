"""Search spaces: a checked tree of choices and ranges, and what a sampler needs of it (define-by-run)."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import pydantic
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from pydantic import Field

from sldml.config.dotted import flatten, merge, unflatten
from sldml.config.encoder import EncoderConfig
from sldml.config.parts import Part, first_fault
from sldml.config.representation import NormalizeConfig, RepresentationConfig
from sldml.config.space_tree import (
    Branches,
    Group,
    Leaf,
    Node,
    Odometer,
    Scalar,
    SpaceError,
    Suggester,
    allows,
    fix,
    leaves_of,
)
from sldml.config.trial import TrialConfig

__all__ = ["Branches", "Group", "Leaf", "Node", "Scalar", "SearchSettings", "SearchSpace", "SpaceError", "Suggester"]

_PROBES = 200
_LARGEST_GRID = 100_000
_Kind = TypeVar("_Kind", EncoderConfig, RepresentationConfig)


class SearchSettings(Part):
    """The `search` part: how the space is searched, and what becomes of the best."""

    trials: int = Field(24, ge=1)
    sampler: Literal["tpe", "random", "qmc", "grid"] = "tpe"
    """`qmc`: a scrambled Sobol sequence, for spaces of ranges alone; `grid`: every combination once, for spaces of
    choices and whole numbers alone."""
    scheduler: Literal["asha", "median", "none"] = "asha"
    """`median` stops a trial whose best is below the median of what the others had on average by then."""
    grace_period: int = Field(3, ge=1)
    """ASHA and median stop no trial before this epoch."""
    reduction_factor: float = Field(3.0, gt=1.0)
    """ASHA lets one in this many go on at each rung."""
    seed: int = Field(0, ge=0)
    top_k: int = Field(3, ge=1)
    """So many configurations, the best by validation, are trained again for the sealed test."""
    final_seeds: int = Field(3, ge=1)
    """With so many seeds each."""


@dataclass(frozen=True)
class SearchSpace:
    """A checked search space. Calling it with an Optuna trial suggests its parameters (define-by-run)."""

    name: str
    text: str
    base: dict[str, Any]
    """Nested configuration of what is not searched."""
    search: SearchSettings
    root: Group
    known_good: tuple[dict[str, Scalar], ...] = ()
    """Configurations to begin with, by path; what one leaves open is sampled."""

    @property
    def hash(self) -> str:
        """Of the file's text and of what was set over it."""
        content = self.text + repr(sorted(flatten(self.base))) + repr([(x.path, x.distribution) for x in self.leaves()])
        content += repr(self.known_good)
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
        yield from leaves_of(self.root)

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
            if value is None or not allows(leaf.distribution, value):
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

    def grid(self) -> list[dict[str, Scalar]]:
        """Every combination of parameters that exist together, in the order of the file.

        Raises:
            SpaceError: a range has no end of values, or there are too many combinations.
        """
        combinations: list[dict[str, Scalar]] = []
        odometer = Odometer()
        while len(combinations) < _LARGEST_GRID:
            combinations.append(self.visit(odometer.take))
            if not odometer.advance():
                return combinations
        raise SpaceError(f"search.sampler grid: the space has more than {_LARGEST_GRID} combinations")

    def require_sampler(self) -> None:
        """Check that the sampler can serve this space.

        Raises:
            SpaceError: it cannot; the message says which parameter it cannot serve and what to do.
        """
        other = "take another sampler, or fix it by --set"
        for leaf in self.leaves():
            categorical = isinstance(leaf.distribution, CategoricalDistribution)
            if self.search.sampler == "qmc" and categorical and len(leaf.ends()) > 1:
                raise SpaceError(f"search.sampler qmc spreads points over ranges, but {leaf.path} is a choice: {other}")
            if self.search.sampler == "grid" and isinstance(leaf.distribution, FloatDistribution):
                raise SpaceError(
                    f"search.sampler grid goes through all values, but {leaf.path} is a range: make it a choice, or "
                    f"{other}"
                )
        if self.search.sampler == "grid":
            self.grid()

    def begins_with(self, params: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
        """Parameters of another space, or of a file, as far as they are of this one; None if none is left.

        A configuration that has another value where this space has fixed one, or a value out of its range, is
        another configuration: it is left out whole.
        """
        fixed = dict(flatten(self.base))
        leaves: dict[str, list[Leaf]] = {}
        for leaf in self.leaves():
            leaves.setdefault(leaf.path, []).append(leaf)
        kept: dict[str, Scalar] = {}
        for path, value in params.items():
            if path in leaves:
                if not any(allows(leaf.distribution, value) for leaf in leaves[path]):
                    return None
                kept[path] = value
            elif path in fixed and fixed[path] != value:
                return None
        return kept or None

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
        return self._by_name("encoder", EncoderConfig)

    def representations(self) -> list[RepresentationConfig]:
        """Every representation that the space declares, each with its default parameters."""
        return self._by_name("representation", RepresentationConfig)

    def _by_name(self, path: str, kind: type[_Kind]) -> list[_Kind]:
        base = self.base.get(path, {})
        names = next((leaf.ends() for leaf in self.leaves() if leaf.path == f"{path}.name"), None)
        if names is None:
            return [kind.model_validate(base)]
        return [kind.model_validate(merge(base, {"name": name})) for name in names]

    def fixed(self, path: str, value: Scalar) -> SearchSpace:
        """The space with one path set to a value and searched no more.

        What exists only in a branch or under a `when` gets the value there, as the one choice it has. The result is
        not checked as a whole (`check`).

        Raises:
            SpaceError: there is no such path, or the value does not fit.
        """
        root, inside = fix(self.root, path, value)
        return replace(self, base=self.base if inside else merge(self.base, unflatten({path: value})), root=root)

    def check(self) -> None:
        """Check that all that can be sampled is a configuration, and that the sampler can serve the space.

        Raises:
            SpaceError: it is not, or cannot.
        """
        self.default_config()
        self.probe()
        self.require_sampler()
