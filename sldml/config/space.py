"""Search spaces: a checked tree of choices and ranges with a define-by-run interface for samplers."""

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

from sldml.config.dotted import ConfigTree, flatten, merge, unflatten, without
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
    drop,
    fix,
    leaves_of,
)
from sldml.config.trial import TrialConfig

__all__ = ["Branches", "Group", "Leaf", "Node", "Scalar", "SearchSettings", "SearchSpace", "SpaceError", "Suggester"]

_PROBES = 200
_LARGEST_GRID = 100_000
_Kind = TypeVar("_Kind", EncoderConfig, RepresentationConfig)


class SearchSettings(Part):
    """The `search` part: settings of the search and of the final models."""

    trials: int = Field(24, ge=1)
    sampler: Literal["auto", "tpe", "random", "qmc", "grid"] = "auto"
    """`auto`: the best one of our benchmark, which is `random` (RESULTS.md); `qmc`: a scrambled Sobol sequence, for
    spaces with only ranges; `grid`: every combination once, for spaces with only choices and integers."""
    scheduler: Literal["promotion", "asha", "median", "none"] = "promotion"
    """`promotion` pauses trials and continues with the best ones; `asha` and `median` stop them for good, `median` if
    the best value of a trial is below the median of the others' running means."""
    grace_period: int = Field(3, ge=1)
    """No trial is paused or stopped before this epoch."""
    reduction_factor: float = Field(2.0, gt=1.0)
    """Promotion and ASHA continue one in this many trials at each rung."""
    seed: int = Field(0, ge=0)
    finalists: int = Field(3, ge=1)
    """Number of top configurations by validation that are scored on class folds, beside the default configuration."""
    fold_repeats: int = Field(3, ge=1)
    """The auxiliary classes are divided into class folds at most this many times."""
    top_k: int = Field(3, ge=1)
    """Number of top configurations to retrain for the sealed test."""
    final_seeds: int = Field(3, ge=1)
    """Number of seeds for each of them."""


@dataclass(frozen=True)
class SearchSpace:
    """A checked search space. Calling it with an Optuna trial suggests its parameters (define-by-run)."""

    name: str
    text: str
    base: ConfigTree
    """Nested configuration of the fixed values."""
    search: SearchSettings
    root: Group
    known_good: tuple[dict[str, Scalar], ...] = ()
    """Configurations to try first, by path; missing parameters are sampled."""

    @property
    def hash(self) -> str:
        """Hash of the file's text and of the settings applied to it."""
        content = self.text + repr(sorted(flatten(self.base))) + repr([(x.path, x.distribution) for x in self.leaves()])
        content += repr(self.known_good)
        return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()

    def __call__(self, trial: Suggester) -> None:
        """Suggest every parameter that exists under the suggested choices."""
        self.visit(lambda leaf: leaf.suggest(trial))

    def visit(self, value_of: Callable[[Leaf], Scalar]) -> dict[str, Scalar]:
        """Call `value_of` for each parameter that exists under its choices; returns the values by path."""
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
        """All parameters, also conditional ones, including the names of branches."""
        yield from leaves_of(self.root)

    def configure(self, params: Mapping[str, Scalar]) -> TrialConfig:
        """The complete configuration of sampled parameters.

        Raises:
            SpaceError: the values are not a valid configuration.
        """
        try:
            config = TrialConfig.model_validate(merge(self.base, unflatten(params)))
        except pydantic.ValidationError as error:
            path, message = first_fault(error)
            raise SpaceError(f"{path}: {message}" if path else message) from error
        dotted = config.dotted()
        for name, value in params.items():
            if dotted.get(name) != value:
                raise SpaceError(f"{name}: {value!r} was sampled, but the configuration has {dotted.get(name)!r}")
        return config

    def distributions(self, params: Mapping[str, Scalar]) -> dict[str, BaseDistribution]:
        """The distribution of each parameter that exists under `params`.

        Raises:
            SpaceError: a parameter is missing from `params`, unknown, or out of range.
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

    def default_params(self) -> dict[str, Scalar]:
        """The parameters of `default_config`, by path."""
        return self.visit(Leaf.middle)

    def default_config(self) -> TrialConfig:
        """The configuration with the first option of each choice and the middle of each range (geometric if `log`)."""
        return self.configure(self.default_params())

    def probe(self) -> None:
        """Build random configurations, to find invalid combinations of values before any trial.

        Raises:
            SpaceError: a combination is invalid.
        """
        rng = random.Random(0)
        for _ in range(_PROBES):
            params = self.visit(lambda leaf: rng.choice(leaf.ends()))
            try:
                self.configure(params)
            except SpaceError as error:
                raise SpaceError(f"{error}, with {params}") from error

    def grid(self) -> list[dict[str, Scalar]]:
        """All combinations of parameters, in the order of the file.

        Raises:
            SpaceError: a parameter is a range of floats, or there are too many combinations.
        """
        combinations: list[dict[str, Scalar]] = []
        odometer = Odometer()
        while len(combinations) < _LARGEST_GRID:
            combinations.append(self.visit(odometer.take))
            if not odometer.advance():
                return combinations
        raise SpaceError(f"search.sampler grid: the space has more than {_LARGEST_GRID} combinations")

    def require_sampler(self) -> None:
        """Check that the sampler supports this space.

        Raises:
            SpaceError: it does not; the message names the parameter and what to do.
        """
        other = "choose another sampler, or fix it with --set"
        for leaf in self.leaves():
            categorical = isinstance(leaf.distribution, CategoricalDistribution)
            if self.search.sampler == "qmc" and categorical and len(leaf.ends()) > 1:
                raise SpaceError(f"search.sampler qmc supports only ranges, but {leaf.path} is a choice: {other}")
            if self.search.sampler == "grid" and isinstance(leaf.distribution, FloatDistribution):
                raise SpaceError(
                    f"search.sampler grid needs a finite number of values, but {leaf.path} is a range: make it a "
                    f"choice, or {other}"
                )
        if self.search.sampler == "grid":
            self.grid()

    def restrict(self, params: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
        """Restrict parameters, such as those of another space, to the ones that this space searches.

        Returns None if nothing remains, or if a value contradicts a fixed one or is out of range.
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
        """Whether a configuration of this space can have `value` at `path`."""
        node: Any = self.base
        for key in path.split("."):
            node = node.get(key) if isinstance(node, Mapping) else None
        return node == value or any(leaf.path == path and value in leaf.ends() for leaf in self.leaves())

    def normalizations(self) -> list[NormalizeConfig]:
        """All normalisations of the space, fixed or searched."""
        choices = {leaf.path: leaf.ends() for leaf in self.leaves() if leaf.path.split(".")[0] == "normalize"}
        base = {"normalize": self.base.get("normalize", {})}
        combinations = itertools.product(*choices.values())
        parts = [merge(base, unflatten(dict(zip(choices, c, strict=True))))["normalize"] for c in combinations]
        return [NormalizeConfig.model_validate(part) for part in parts]

    def encoders(self) -> list[EncoderConfig]:
        """All encoders of the space, each with its default parameters."""
        return self._by_name("encoder", EncoderConfig)

    def representations(self) -> list[RepresentationConfig]:
        """All representations of the space, each with its default parameters."""
        return self._by_name("representation", RepresentationConfig)

    def _by_name(self, path: str, kind: type[_Kind]) -> list[_Kind]:
        base = self.base.get(path, {})
        names = next((leaf.ends() for leaf in self.leaves() if leaf.path == f"{path}.name"), None)
        if names is None:
            return [kind.model_validate(base)]
        return [kind.model_validate(merge(base, {"name": name})) for name in names]

    def fixed(self, path: str, value: Scalar) -> SearchSpace:
        """The space with one path fixed to a value.

        A parameter that exists only in a branch or under a `when` becomes a choice of one value there. The result is
        not checked as a whole (`check`).

        Raises:
            SpaceError: there is no such path, or the value does not fit.
        """
        root, inside = fix(self.root, path, value)
        return replace(self, base=self.base if inside else merge(self.base, unflatten({path: value})), root=root)

    def unset(self, path: str) -> SearchSpace:
        """The space in which one path is neither fixed nor searched, so that it has its default; not checked."""
        return replace(self, base=without(self.base, path), root=drop(self.root, path))

    def check(self) -> None:
        """Check that all samples are valid configurations and that the sampler supports the space.

        Raises:
            SpaceError: the space is invalid.
        """
        self.default_config()
        self.probe()
        self.require_sampler()
