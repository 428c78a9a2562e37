"""YAML with line numbers and fewer surprises.

PyYAML reads `1e-5` as a string, `off` as False, `1:30` as 90 and `010` as 8 (YAML 1.1); here numbers are decimal
and only true and false are booleans. A key that appears twice is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from sldml.config.dotted import ConfigTree
from sldml.errors import InputError

Path = tuple[str, ...]


_YAML_1_1 = (":bool", ":int", ":float", ":timestamp", ":value")


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(_YAML_1_1)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _add_resolver(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


_add_resolver("bool", r"^(?:true|false|True|False|TRUE|FALSE)$", "tTfF")
_add_resolver("int", r"^[-+]?[0-9]+$", "-+0123456789")
_add_resolver(
    "float",
    r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$",
    "-+.0123456789",
)


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


@dataclass
class Document:
    """A YAML mapping and the line of each of its keys and list items."""

    source: str
    value: ConfigTree
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
        source: Name in messages, such as the file name.

    Raises:
        InputError: not YAML, not a mapping, or a duplicate key; the message names source and line.
    """
    document = Document(source, {})
    document.value = _load(text, document, mapping=True)
    return document


def load_value(text: str, source: str) -> Any:
    """Read one scalar or list as typed on the command line; an empty text is None.

    Raises:
        InputError: not YAML; the message names `source`.
    """
    return _load(text, Document(source, {}), mapping=False)


def _load(text: str, document: Document, *, mapping: bool) -> Any:
    try:
        node = yaml.compose(text, Loader=_Loader)
        if mapping and not isinstance(node, yaml.MappingNode):
            raise InputError(f"{document.source}: a mapping (key: value) is needed")
        return None if node is None else _construct(node, (), document)
    except InputError:
        raise
    except yaml.reader.ReaderError as error:
        number = text.count("\n", 0, error.position) + 1
        what = f"the character {text[error.position]!r} is not allowed"
        raise InputError(f"{document.source}, line {number}: not YAML: {what}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{document.source}{line}: not YAML: {getattr(error, 'problem', None) or error}") from error
    except RecursionError as error:
        raise InputError(f"{document.source}: not YAML: nested too deeply, or a part of itself") from error
    except (ValueError, OverflowError) as error:  # an escape beyond Unicode
        raise InputError(f"{document.source}: not YAML: {error}") from error


def _construct(node: yaml.Node, path: Path, document: Document) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    match node:
        case yaml.MappingNode():
            mapping: ConfigTree = {}
            for key_node, value_node in node.value:
                if not isinstance(key_node, yaml.ScalarNode):
                    raise InputError(f"{document.source}, line {key_node.start_mark.line + 1}: a key is one word")
                key = str(key_node.value)
                here = (*path, key)
                if key in mapping:
                    raise InputError(f"{document.source}, line {key_node.start_mark.line + 1}: {key} is given twice")
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
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:  # all but the first: `!!int x`
        kind = str(node.tag).rpartition(":")[2]
        raise InputError(
            f"{document.source}, line {node.start_mark.line + 1}: {node.value!r} cannot be read as {kind}"
        ) from error
    finally:
        loader.dispose()
