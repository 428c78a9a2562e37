"""Base classes of the parts of a configuration: frozen, checked, optionally with branches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator


class Part(BaseModel):
    """A frozen part of a configuration that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class BranchedPart(Part):
    """A part with branches: `name` selects one, and only the parameters of that branch may be set.

    A subclass declares `name: Literal[...]` and, for each name with parameters, one optional field of that
    name. The selected branch gets its defaults if it is left out.
    """

    @model_validator(mode="before")
    @classmethod
    def _fill_named_branch(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        filled = dict(data)
        default = cls.model_fields["name"].default
        name = filled.get("name", default)
        for branch in cls.branches():
            if branch == name:
                if filled.get(branch) is None:
                    filled[branch] = {}
            elif filled.get(branch) is not None:
                raise ValueError(f"`{branch}` is set, but `name` is {name!r}: set only the selected branch")
        return filled

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The possible names."""
        return get_args(cls.model_fields["name"].annotation)

    @classmethod
    def branches(cls) -> tuple[str, ...]:
        """The names of branches with parameters."""
        return tuple(name for name in cls.names() if name in cls.model_fields)

    @property
    def chosen(self) -> Any:
        """The parameters of the selected branch; None if it has none."""
        name = self.__dict__["name"]
        return getattr(self, name) if name in self.branches() else None


def first_fault(error: ValidationError) -> tuple[str, str]:
    """(dotted path, message) of the first error of a validation."""
    fault = error.errors(include_url=False, include_context=False)[0]
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "unknown key"
    elif not isinstance(fault["input"], dict):
        message = f"{message[0].lower()}{message[1:]}, but it is {fault['input']!r}"
    return ".".join(str(part) for part in fault["loc"]), message
