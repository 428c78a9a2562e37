"""Settings of the form `dotted.path=value` applied to a search space, and the fields that such paths name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

from sldml.config.dotted import merge, without
from sldml.config.parts import Part, first_fault
from sldml.config.space import SearchSettings, SearchSpace
from sldml.config.space_tree import SpaceError
from sldml.config.trial import TrialConfig
from sldml.config.yaml_lines import load_value
from sldml.errors import InputError, suggestion


def override(space: SearchSpace, settings: Sequence[str]) -> SearchSpace:
    """The space changed by `dotted.path=value` settings, in any order; without a value, a path gets its default.

    Raises:
        InputError: a setting is wrong.
    """
    if not settings:
        return space
    ordered = sorted(settings, key=_place)
    changed = space
    try:
        for setting in ordered:
            changed = _override(changed, setting)
        changed.check()
    except InputError as error:
        together = f"{' '.join(f'--set {setting}' for setting in settings)}: {error}"
        raise InputError("; ".join(_faults(space, ordered)) or together) from error
    return changed


def _place(setting: str) -> tuple[bool, int]:
    """Names of branches come first, outer ones before inner ones, because another name drops the old branch."""
    path, _, value = setting.partition("=")
    return (False, path.count(".")) if path.endswith((".name", ".dataset")) else (bool(value), 99)


def _faults(space: SearchSpace, settings: Sequence[str]) -> list[str]:
    """The faults of the settings that are invalid alone as well as after the valid ones before them."""
    faults, valid = [], space
    for setting in settings:
        try:
            valid = _checked(valid, setting)
        except InputError:
            try:
                _checked(space, setting)
            except InputError as error:
                faults.append(str(error))
    return faults


def _checked(space: SearchSpace, setting: str) -> SearchSpace:
    changed = _override(space, setting)
    try:
        changed.check()
    except SpaceError as error:
        raise InputError(f"--set {setting}: {error}") from error
    return changed


def _override(space: SearchSpace, setting: str) -> SearchSpace:
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise InputError(f"--set {setting}: write it as dotted.path=value")
    value = load_value(text, f"--set {setting}")
    try:
        if path.startswith("search."):
            key, known = path.removeprefix("search."), space.search.model_dump()
            changed = without(known, key) if value is None and key in known else merge(known, {key: value})
            return replace(space, search=SearchSettings.model_validate(changed))
        kinds = [models_of(field.annotation) for field in fields_at(path)]
        if all(kinds):
            keys = ", ".join(f"{path}.{key}" for key in kinds[0][0].model_fields)
            raise SpaceError(f"{path} is no value but a part with keys of its own: {keys}")
        if isinstance(value, list | dict):
            raise SpaceError(f"{value!r} is no plain value")
        return space.unset(path) if value is None else space.fixed(path, value)
    except pydantic.ValidationError as error:
        raise InputError(f"--set {setting}: {first_fault(error)[1]}") from error
    except SpaceError as error:
        raise InputError(f"--set {setting}: {error}") from error


def fields_at(path: str) -> list[FieldInfo]:
    """The fields of `TrialConfig` at a dotted path; several if a part has several types.

    Raises:
        SpaceError: there is none.
    """
    models: list[type[Part]] = [TrialConfig]
    found: list[FieldInfo] = []
    walked: list[str] = []
    for key in path.split("."):
        found = [model.model_fields[key] for model in models if key in model.model_fields]
        if not found:
            known = sorted({name for model in models for name in model.model_fields})
            place = f" in {'.'.join(walked)}" if walked else ""
            raise SpaceError(f"{path}: {unknown(key, known)}{place}")
        walked.append(key)
        models = [model for field in found for model in models_of(field.annotation)]
    return found


def models_of(annotation: Any) -> list[type[Part]]:
    """The part classes among the types of an annotation."""
    if get_origin(annotation) is Annotated:
        return models_of(get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_of(argument)]


def unknown(key: str, known: Sequence[str]) -> str:
    """What is wrong with a key that is not among the known ones."""
    return f"there is no {key!r} ({suggestion(key, known)})"
