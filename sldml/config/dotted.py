"""Nested mappings and their flat form, from dotted path to value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ConfigTree = dict[str, Any]
"""A nested configuration, as YAML has it: each part with its settings."""


def flatten(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, leaf) of nested mappings; an empty mapping yields nothing."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def unflatten(dotted: Mapping[str, Any]) -> ConfigTree:
    """Invert `flatten`.

    Raises:
        ValueError: one path is a prefix of another.
    """
    nested: ConfigTree = {}
    for path, value in dotted.items():
        *parents, leaf = path.split(".")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ValueError(f"{path!r}: {parent!r} is a value and cannot have parts")
        if isinstance(node.get(leaf), dict):
            raise ValueError(f"{path!r} is given a value, but has parts")
        node[leaf] = value
    return nested


def without(nested: Mapping[str, Any], path: str) -> ConfigTree:
    """Nested mappings without what is at a dotted path."""
    key, dot, rest = path.partition(".")
    if not dot:
        return {name: value for name, value in nested.items() if name != key}
    part = nested.get(key)
    return {**nested, key: without(part, rest)} if isinstance(part, Mapping) else dict(nested)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> ConfigTree:
    """Deep-merge two nested mappings; `over` wins. A changed `name` drops the branch of the old one."""
    merged = dict(base)
    if "name" in over and "name" in base and over["name"] != base["name"]:
        merged.pop(str(base["name"]), None)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return merged
