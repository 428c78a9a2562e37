"""Reading a search-space YAML file; every key, type and range is checked, and errors name file and line.

In `space`, a leaf is `{choice: [...]}`, `{float: [low, high], log: true}` or `{int: [low, high], log: true}`;
`choose: {name: {...}}` selects a branch, which owns its parameters; `when: {loss: [names]}` makes a part exist only
under an earlier choice. `data`, `protocol`, `representation` and `fixed` are fixed; `search` has the search settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pydantic
import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic.fields import FieldInfo

from sldml.config.dotted import ConfigTree
from sldml.config.overrides import fields_at, models_of, override, unknown
from sldml.config.parts import BranchedPart, first_fault
from sldml.config.space import SearchSettings, SearchSpace
from sldml.config.space_tree import Branches, Group, Leaf, Node, Scalar, SpaceError
from sldml.config.trial import TrialConfig
from sldml.config.yaml_lines import Document, load_yaml
from sldml.errors import InputError

__all__ = ["CUSTOM", "FOLDER", "fields_at", "is_file_of_space", "override", "parse_space", "read_space"]

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "search_spaces"
FOLDER = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "search_spaces"
"""The search spaces of the project: in an installed package inside it, in a checkout beside it."""
_TOP_LEVEL = ("data", "protocol", "representation")
_KEYS = (*_TOP_LEVEL, "fixed", "search", "space", "known_good")
_SHARED = ("data", "protocol")
_LEAF_KINDS = ("choice", "float", "int")
CUSTOM = "custom"
"""Name of a search space that is given as a mapping."""


def read_space(given: str | Mapping[str, Any], overrides: Sequence[str] = ()) -> SearchSpace:
    """Read a search space by its name under `search_spaces/`, by its file, or from a mapping.

    Args:
        given: `demo`, or a path that ends in .yaml or .yml, or what such a file contains.
        overrides: As of `override`; a key of `search` is `search.trials`.

    Raises:
        InputError: no such file, or an error in it or in an override; the message names file and line.
    """
    if isinstance(given, Mapping):
        return override(_space_of(given), overrides)
    path = _find(given)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    return override(parse_space(text, path.stem, str(path)), overrides)


def _space_of(content: Mapping[str, Any]) -> SearchSpace:
    """The space with this content, under the name of `CUSTOM`."""
    source = "the search space"
    try:
        text = yaml.safe_dump(dict(content), sort_keys=False)
    except yaml.YAMLError as error:
        raise InputError(f"{source}: only dicts, lists, strings, numbers, booleans and None: {error}") from error
    document = load_yaml(text, source)
    document.lines.clear()  # nobody has seen them
    return _read(document, CUSTOM, text)


def parse_space(text: str, name: str, source: str) -> SearchSpace:
    """Parse and check the text of a search space; `source` is its name in messages.

    Raises:
        InputError: the text is not a valid space.
    """
    return _read(load_yaml(text, source), name, text)


def _read(document: Document, name: str, text: str) -> SearchSpace:
    for key in document.value:
        if key not in _KEYS:
            raise SpaceError(f"{document.where(key)}: {unknown(key, _KEYS)}")
    return _Reader(document).read(name, text)


def is_file_of_space(name_or_file: str) -> bool:
    """Whether a search space is given by its file, not by its name."""
    return name_or_file.endswith((".yaml", ".yml")) or "/" in name_or_file


def _find(name_or_file: str) -> Path:
    if is_file_of_space(name_or_file):
        path = Path(name_or_file)
        if not path.is_file():
            raise InputError(f"{name_or_file}: no such file of a search space")
        return path
    names = sorted(file.stem for file in FOLDER.glob("*.yaml"))
    if name_or_file not in names:
        raise InputError(f"there is no search space {name_or_file!r}; there are {', '.join(names)}, or give a file")
    return FOLDER / f"{name_or_file}.yaml"


class _Reader:
    """Builds a space from a document, keeping track of earlier choices for `when`."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._choices: dict[str, tuple[str, ...]] = {}

    def read(self, name: str, text: str) -> SearchSpace:
        value = self._document.value
        fixed = self._mapping(value.get("fixed", {}), ("fixed",))
        base: ConfigTree = {}
        for key in _TOP_LEVEL:
            if key in value and key in fixed:
                raise self._error(("fixed", key), f"{key} is given twice, here and at the top level")
            if key in value:
                base[key] = self._mapping(value[key], (key,))
        base |= fixed
        try:
            TrialConfig.model_validate(base)
        except pydantic.ValidationError as error:
            path, message = first_fault(error)
            raise SpaceError(f"{self._where_fixed(path)}: {path or 'fixed'}: {message}") from error
        try:
            search = SearchSettings.model_validate(self._mapping(value.get("search", {}), ("search",)))
        except pydantic.ValidationError as error:
            path, message = first_fault(error)
            raise self._error(("search", path), f"search.{path}: {message}") from error
        root = self._group(self._mapping(value.get("space", {}), ("space",)), ("space",), "")
        space = SearchSpace(name, text, base, search, root)
        self._check_not_fixed(space)
        try:
            space.probe()
        except SpaceError as error:
            raise self._error(("space",), str(error)) from error
        try:
            space.require_sampler()
        except SpaceError as error:
            raise self._error(("search", "sampler"), str(error)) from error
        return replace(space, known_good=self._known_good(space))

    def _known_good(self, space: SearchSpace) -> tuple[dict[str, Scalar], ...]:
        """The known-good configurations: mappings of dotted paths of searched parameters to values."""
        listed = self._document.value.get("known_good", [])
        if not isinstance(listed, list):
            raise self._error(("known_good",), "known_good is a list of configurations, each {dotted.path: value, …}")
        paths = {leaf.path for leaf in space.leaves()}
        for number, params in enumerate(listed):
            at, what = ("known_good", str(number)), f"known_good, configuration {number + 1}"
            if not isinstance(params, dict) or not params:
                raise self._error(at, f"{what}: a mapping of dotted paths, but found {params!r}")
            for path, value in params.items():
                if path not in paths:
                    raise self._error((*at, path), f"{what}: {unknown(str(path), sorted(paths))}")
                if space.restrict({path: value}) is None:
                    raise self._error((*at, path), f"{what}: {path}: {value!r} is not among the searched values")
        return tuple(dict(params) for params in listed)

    # ------------------------------------------------------------------------------------------ the tree

    def _group(self, body: Mapping[str, Any], at: tuple[str, ...], path: str) -> Group:
        when = self._when(body["when"], (*at, "when")) if "when" in body else ()
        members: list[Node] = []
        if "choose" in body:
            if "name" in body:
                raise self._error((*at, "name"), f"{path}.name is set by choose: give only one of them")
            members.append(self._branches(body["choose"], (*at, "choose"), path))
        for key, child in body.items():
            if key not in ("when", "choose"):
                members.append(self._node(child, (*at, key), f"{path}.{key}" if path else key))
        return Group(tuple(members), when)

    def _node(self, body: Any, at: tuple[str, ...], path: str) -> Node:
        try:
            fields = fields_at(path)
        except SpaceError as error:
            raise self._error(at, str(error)) from error
        if path in _SHARED:
            raise self._error(at, f"{path} must be the same for all trials: fix it, or change it with --set")
        if not isinstance(body, Mapping):
            raise self._error(
                at,
                f"{path}: a searched value needs {{choice: [...]}}, {{float: [low, high]}} or {{int: [low, high]}}; "
                f"put a fixed value under `fixed` (inside a branch: {{choice: [{body}]}})",
            )
        if any(kind in body for kind in _LEAF_KINDS):
            return self._leaf(body, at, path, fields)
        if not any(models_of(field.annotation) for field in fields):
            raise self._error(at, f"{path} needs one of choice, float, int")
        return self._group(body, at, path)

    def _branches(self, body: Any, at: tuple[str, ...], path: str) -> Branches:
        choice = next((m for f in (fields_at(path) if path else []) for m in models_of(f.annotation)), None)
        if choice is None or not issubclass(choice, BranchedPart):
            raise self._error(at, f"{path or 'space'} has no branches to choose from")
        options: dict[str, Group] = {}
        for name, parameters in self._mapping(body, at).items():
            if name not in choice.names():
                raise self._error((*at, name), f"{path}: {unknown(name, choice.names())}")
            options[name] = self._group(
                self._mapping({} if parameters is None else parameters, (*at, name)), (*at, name), f"{path}.{name}"
            )
        if not options:
            raise self._error(at, f"{path}: choose needs at least one name")
        self._choices[path] = tuple(options)
        return Branches(path, options)

    def _leaf(self, body: Mapping[str, Any], at: tuple[str, ...], path: str, fields: Sequence[FieldInfo]) -> Leaf:
        kind = next(k for k in _LEAF_KINDS if k in body)
        for key in body:
            if key not in (kind, "log") or (key == "log" and kind == "choice"):
                raise self._error((*at, key), f"{path}: {unknown(key, (kind, 'log'))}")
        log = body.get("log", False)
        if not isinstance(log, bool):
            raise self._error((*at, "log"), f"{path}: log must be true or false, not {log!r}")
        if not isinstance(body[kind], list):
            raise self._error((*at, kind), f"{path}: {kind} takes a list")
        leaf = Leaf(path, self._distribution(kind, body[kind], log, (*at, kind), path))
        for value in leaf.ends():
            faults = [fault for field in fields if (fault := _fault(field, value)) is not None]
            if len(faults) == len(fields):
                raise self._error((*at, kind), f"{path}: {faults[0]}")
        return leaf

    def _distribution(
        self, kind: str, values: list[Any], log: bool, at: tuple[str, ...], path: str
    ) -> BaseDistribution:
        if kind == "choice":
            if not values or len({repr(v) for v in values}) < len(values):
                raise self._error(at, f"{path}: choice needs at least one value, without duplicates")
            if bad := [v for v in values if not isinstance(v, str | int | float | bool)]:
                raise self._error(at, f"{path}: {bad[0]!r} is no plain value")
            return CategoricalDistribution(tuple(values))
        number = int if kind == "int" else (int, float)
        if len(values) != 2 or any(not isinstance(v, number) or isinstance(v, bool) for v in values):
            raise self._error(at, f"{path}: {kind} takes two numbers, [low, high], but found {values}")
        low, high = values
        if not low < high:
            raise self._error(at, f"{path}: `low < high` must hold, but [low, high] is {values}")
        if log and low <= 0:
            raise self._error(at, f"{path}: log needs `low > 0`, but low is {low}")
        if kind == "int":
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low), float(high), log=log)

    def _when(self, body: Any, at: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        conditions = []
        for path, names in self._mapping(body, at).items():
            if path not in self._choices:
                earlier = ", ".join(self._choices) or "none"
                raise self._error((*at, path), f"when: {path} is not an earlier choice (earlier ones: {earlier})")
            allowed = tuple(names if isinstance(names, list) else [names])
            if not allowed:
                raise self._error((*at, path), f"when: {path}: at least one name is needed")
            for name in allowed:
                if name not in self._choices[path]:
                    raise self._error((*at, path), f"when: {path}: {unknown(str(name), self._choices[path])}")
            conditions.append((path, allowed))
        return tuple(conditions)

    # ------------------------------------------------------------------------------------------ checks

    def _check_not_fixed(self, space: SearchSpace) -> None:
        for leaf in space.leaves():
            node: Any = space.base
            for key in leaf.path.split("."):
                node = node.get(key) if isinstance(node, Mapping) else None
            if node is not None:
                raise SpaceError(
                    f"{self._where_fixed(leaf.path)}: {leaf.path} is fixed here, but searched under `space`"
                )

    def _mapping(self, body: Any, at: tuple[str, ...]) -> ConfigTree:
        if not isinstance(body, dict):
            raise self._error(at, f"{at[-1]} must be a mapping (key: value), not {body!r}")
        return body

    def _error(self, at: tuple[str, ...], message: str) -> SpaceError:
        return SpaceError(f"{self._document.where(*at)}: {message}")

    def _where_fixed(self, path: str) -> str:
        """The location of a fixed value; pydantic's path may contain the type of a part, which the file does not."""
        if not path:  # a conflict between values of different parts, which are all under `fixed`
            return self._document.where("fixed")
        keys = path.split(".")
        starts = [("fixed",), ()]
        for variant in (keys, [keys[0], *keys[2:]]):
            for start in starts:
                if (*start, *variant) in self._document.lines:
                    return self._document.where(*start, *variant)
        return self._document.where(*(("fixed",) if ("fixed", keys[0]) in self._document.lines else ()), *keys)


def _fault(field: FieldInfo, value: Any) -> str | None:
    """Why a field refuses a value; None if it does not."""
    annotation: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    try:
        pydantic.TypeAdapter(annotation).validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        return first_fault(error)[1]
    return None
