"""Single configurations, from a space, a file or an earlier run, as a search space with one point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic
import yaml

from sldml.config.dotted import merge, unflatten
from sldml.config.parts import first_fault
from sldml.config.space import SearchSpace
from sldml.config.space_file import fields_at, parse_space
from sldml.config.space_tree import Leaf, Scalar, SpaceError, allows
from sldml.config.trial import TrialConfig
from sldml.config.yaml_lines import load_value, load_yaml
from sldml.errors import InputError

_APART = ("data", "protocol", "representation")
"""Parts with their own key at the top level of a space file."""


def typical_config(space: SearchSpace) -> TrialConfig:
    """A reasonable configuration of a space, for training a single model.

    Each searched parameter gets the first of these values that its range allows: that of the first known-good
    configuration of the space, the default of the configuration, the middle of the range.
    """
    known = dict(space.known_good[0]) if space.known_good else {}

    def value_of(leaf: Leaf) -> Scalar:
        candidates = [known.get(leaf.path), *(field.default for field in fields_at(leaf.path))]
        fitting = [c for c in candidates if isinstance(c, str | int | float) and allows(leaf.distribution, c)]
        return fitting[0] if fitting else leaf.middle()

    return space.configure(space.visit(value_of))


def read_config(path: Path) -> TrialConfig:
    """The configuration in a YAML or JSON file, nested (as the artifact `config.json` of a run) or with dotted paths.

    Raises:
        InputError: the file cannot be read or holds no configuration; the message names file and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise InputError(f"--config {path}: cannot be read ({reason})") from error
    return make_config(load_yaml(text, str(path)).value, f"--config {path}")


def make_config(values: Mapping[str, Any], source: str) -> TrialConfig:
    """A configuration from values under nested or dotted keys; `source` is its name in messages.

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
    """The configuration changed by `dotted.path=value` settings; a new `name` gets its defaults.

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
    """A space with one configuration: one trial and `num_seeds` final models.

    Its text is that of a space file, so that the search can be resumed like any other.
    """
    values = config.to_dict()
    settings = {
        "trials": 1, "sampler": "random", "scheduler": "none", "seed": config.seed, "top_k": 1,
        "final_seeds": num_seeds,
    }  # fmt: skip
    parts = {part: values.pop(part) for part in _APART}
    text = yaml.safe_dump({**parts, "fixed": values, "search": settings, "space": {}}, sort_keys=False)
    return parse_space(f"# One configuration, trained by launch/train.py.\n{text}", name, "the configuration")
