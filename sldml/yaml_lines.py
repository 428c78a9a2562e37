"""YAML with line numbers, read the way people mean it.

PyYAML reads `1e-5` as a string and `off` as False (YAML 1.1); here numbers are YAML 1.2's and only true and
false are booleans. A key that appears twice is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from sldml.errors import InputError

Path = tuple[str, ...]


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float", ":timestamp"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _add_resolver(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


_add_resolver("bool", r"^(?:true|false|True|False|TRUE|FALSE)$", "tTfF")
_add_resolver("float", r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$", "-+.0123456789")


@dataclass
class Document:
    """A YAML mapping and the line of each of its keys and list items."""

    source: str
    value: dict[str, Any]
    lines: dict[Path, int] = field(default_factory=dict)

    def where(self, *path: str) -> str:
        """`<file>, line <n>` of the path, or of the nearest part of it that the file has."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return f"{self.source}, line {self.lines[path[:end]]}"
        return self.source


def load_yaml(text: str, source: str) -> Document:
    """Read a mapping.

    Args:
        text: The YAML.
        source: What to call it in messages: the file's name.

    Raises:
        InputError: not YAML, no mapping, or a key twice; the message names source and line.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        if not isinstance(node, yaml.MappingNode):
            raise InputError(f"{source}: a mapping (key: value) is needed")
        document = Document(source, {})
        document.value = _construct(node, (), document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{source}{line}: no YAML: {getattr(error, 'problem', None) or error}") from error
    return document


def load_value(text: str) -> Any:
    """Read one scalar or list as a person types it on the command line."""
    return yaml.load(text, Loader=_Loader)


def _construct(node: yaml.Node, path: Path, document: Document) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    match node:
        case yaml.MappingNode():
            mapping: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(key_node.value)
                here = (*path, key)
                if key in mapping:
                    raise InputError(f"{document.source}, line {key_node.start_mark.line + 1}: {key} is there twice")
                document.lines[here] = key_node.start_mark.line + 1
                mapping[key] = _construct(value_node, here, document)
            return mapping
        case yaml.SequenceNode():
            return [_construct(item, (*path, str(i)), document) for i, item in enumerate(node.value)]
    return _scalar(node, document)


def _scalar(node: yaml.Node, document: Document) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{document.source}, line {node.start_mark.line + 1}: {error}") from error
    finally:
        loader.dispose()
