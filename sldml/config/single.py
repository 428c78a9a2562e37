"""One configuration instead of a search: taken out of a space, a file or an earlier run, as a space of nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic
import yaml
from optuna.distributions import FloatDistribution, IntDistribution

from sldml.config.dotted import merge, unflatten
from sldml.config.parts import first_fault
from sldml.config.space import SearchSpace
from sldml.config.space_file import fields_at, parse_space
from sldml.config.space_tree import Leaf, Scalar, SpaceError, allows
from sldml.config.trial import TrialConfig
from sldml.config.yaml_lines import load_value, load_yaml
from sldml.errors import InputError

_APART = ("data", "protocol", "representation")
"""Parts that stand by themselves in the file of a space."""


def typical_config(space: SearchSpace) -> TrialConfig:
    """What somebody who wants one model of a space would begin with.

    Of each parameter that the space searches it is the first of these that its range allows: the value in the first
    configuration that the space's file knows to be good, the configuration's own default, the middle of the range.
    """
    known = dict(space.known_good[0]) if space.known_good else {}

    def value_of(leaf: Leaf) -> Scalar:
        candidates = [known.get(leaf.path), *(field.default for field in fields_at(leaf.path))]
        fitting = [c for c in candidates if isinstance(c, str | int | float) and allows(leaf.distribution, c)]
        return fitting[0] if fitting else _middle(leaf)

    return space.configure(space.visit(value_of))


def read_config(path: Path) -> TrialConfig:
    """The configuration in a YAML or JSON file: nested, as the artifact `config.json` of a run, or by dotted paths.

    Raises:
        InputError: the file cannot be read, or holds no configuration; file and key are told.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"--config {path}: cannot be read ({reason})") from error
    return make_config(load_yaml(text, str(path)).value, f"--config {path}")


def make_config(values: Mapping[str, Any], source: str) -> TrialConfig:
    """A configuration from nested values, of which any may be under a dotted path; `source` is what messages call it.

    Raises:
        InputError: a key or a value is wrong.
    """
    try:
        plain = {key: value for key, value in values.items() if "." not in key}
        dotted = {key: value for key, value in values.items() if "." in key}
        return TrialConfig.model_validate(merge(plain, unflatten(dotted)))
    except pydantic.ValidationError as error:
        where, message = first_fault(error)
        raise InputError(f"{source}: {where}: {message}" if where else f"{source}: {message}") from error
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error


def changed(config: TrialConfig, settings: Sequence[str]) -> TrialConfig:
    """The configuration with `dotted.path=value` settings over it; another `name` takes its own defaults along.

    Raises:
        InputError: a setting is wrong.
    """
    values = config.to_dict()
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise InputError(f"--set {setting}: write it as dotted.path=value")
        try:
            fields_at(path)
            values = merge(values, unflatten({path: load_value(text, f"--set {setting}")}))
        except (SpaceError, ValueError) as error:
            raise InputError(f"--set {setting}: {error}") from error
        values = make_config(values, f"--set {setting}").to_dict()
    return make_config(values, "--set")


def space_of(config: TrialConfig, name: str, *, num_seeds: int) -> SearchSpace:
    """A space that holds one configuration: one trial, and `num_seeds` final models of it.

    Its text is a file like any other, so that who goes on with it (`--resume`) needs nothing else.
    """
    values = config.to_dict()
    settings = {
        "trials": 1, "sampler": "random", "scheduler": "none", "seed": config.seed, "top_k": 1,
        "final_seeds": num_seeds,
    }  # fmt: skip
    parts = {part: values.pop(part) for part in _APART}
    text = yaml.safe_dump({**parts, "fixed": values, "search": settings, "space": {}}, sort_keys=False)
    return parse_space(f"# One configuration, trained by launch/train.py.\n{text}", name, "the configuration")


def _middle(leaf: Leaf) -> Scalar:
    """The first choice, or the middle of a range on its own scale."""
    match leaf.distribution:
        case IntDistribution(low=low, high=high, log=log):
            return round(math.sqrt(low * high)) if log else (low + high) // 2
        case FloatDistribution(low=low, high=high, log=log):
            return math.sqrt(low * high) if log else (low + high) / 2
        case _:
            return leaf.ends()[0]
