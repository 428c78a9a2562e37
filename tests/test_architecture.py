"""One direction: a module imports only what stands before it, Ray and MLflow are each imported in one place."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ROOT_FILES = ("errors", "interruption", "journal")
TABLE = {
    "errors": [],
    "interruption": [],
    "config": [],
    "journal": ["config"],
    "recordings": ["config"],
    "prepared": ["config", "recordings"],
    "protocols": ["config", "recordings"],
    "embedding": ["config", "recordings", "prepared", "protocols"],
    "recognition": ["config", "recordings", "prepared", "protocols", "embedding"],
    "training": ["config", "recordings", "prepared", "protocols", "embedding", "recognition"],
    "search": ["config", "recordings", "prepared", "protocols", "embedding", "recognition", "training"],
    "tracking": ["config", "recordings", "recognition"],
    "report": ["config", "recognition"],
    "pipeline": [
        *("config", "recordings", "prepared", "protocols", "embedding", "recognition", "training"),
        *("search", "tracking", "report"),
    ],
    "commands": [
        *("config", "recordings", "prepared", "protocols", "embedding", "recognition", "training"),
        *("search", "tracking", "report", "pipeline"),
    ],
    "api": [
        *("config", "recordings", "prepared", "protocols", "embedding", "recognition", "training"),
        *("search", "tracking", "report", "pipeline", "commands"),
    ],
    "": [],
}
"""What each entry of `sldml/` may import beside itself and the root's files: the table in DESIGN.md.

The last one is `sldml` itself, which imports nothing until a name is used."""
INNER = {"recordings": ("readers", "synthetic")}
"""Sub-packages that nobody outside their package imports."""

MAX_LINES = 400
HEAVY = (
    "torch",
    "torchvision",
    "ray",
    "mlflow",
    "optuna",
    "pandas",
    "sldml.pipeline",
    "sldml.commands.plan",
    "sldml.search",
    "sldml.tracking",
)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted((ROOT / "sldml").rglob("*.py"))}
COMMANDS = sorted((ROOT / "launch").rglob("*.py"))
LIGHT = [
    *(ROOT / "sldml" / "commands" / path.name for path in COMMANDS),
    ROOT / "sldml" / "commands" / "main.py",
    ROOT / "sldml" / "__init__.py",
]
"""The commands themselves; each file in launch/ calls the one of its name."""


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports(node: ast.AST, *, nested: bool = True) -> Iterator[str]:
    """The dotted names that the code imports; what only a type checker sees is left out."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            alternative = ast.Module(child.orelse, [])  # type: ignore[attr-defined]
            yield from imports(alternative, nested=nested)
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: write imports in full"
            assert child.module is not None
            submodules = [f"{child.module}.{alias.name}" for alias in child.names]
            others = [name for name in submodules if name not in MODULES]
            yield from (name for name in submodules if name in MODULES)
            if others:
                yield child.module
        elif nested or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(child, nested=nested)


def imports_of(path: Path, *, nested: bool = True) -> set[str]:
    return set(imports(ast.parse(path.read_text(encoding="utf-8")), nested=nested))


def below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def entry_of(module: str) -> str:
    """`sldml.config.trial` -> `config`."""
    return module.split(".")[1] if "." in module else ""


def own_imports(module: str) -> set[str]:
    return {name for name in imports_of(MODULES[module]) if below(name, "sldml") and name != "sldml"}


def test_the_table_names_every_entry():
    assert {entry_of(module) for module in MODULES} == set(TABLE)
    assert len(list((ROOT / "sldml").glob("[!_.]*"))) <= 17


def test_packages_import_what_their_row_of_the_table_names():
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        for name in sorted(own_imports(module))
        if entry_of(name) not in {entry_of(module), *ROOT_FILES, *TABLE[entry_of(module)]}
    ]
    assert wrong == []


def test_inner_packages_are_their_package_s_own():
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        for package, inners in INNER.items()
        for name in sorted(own_imports(module))
        if entry_of(module) != package and any(below(name, f"sldml.{package}.{inner}") for inner in inners)
    ]
    assert wrong == []


def test_modules_import_each_other_in_no_circle():
    graph = {module: {name for name in own_imports(module) if name in MODULES and name != module} for module in MODULES}
    for module in graph:
        # A package's `__init__` is loaded with each of its modules; what it re-exports comes from them.
        graph[module] = {name for name in graph[module] if not below(module, name)}
    assert tuple(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize(("library", "package"), [("ray", "sldml.search"), ("mlflow", "sldml.tracking")])
def test_a_library_is_imported_in_one_place(library: str, package: str):
    users = {module for module, path in MODULES.items() if any(below(name, library) for name in imports_of(path))}
    assert users
    assert {module for module in users if not below(module, package)} == set()


@pytest.mark.parametrize("path", [*COMMANDS, *LIGHT], ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_import_what_is_heavy_only_inside_functions(path: Path):
    at_once = imports_of(path, nested=False)
    assert {name for name in at_once if any(below(name, heavy) for heavy in HEAVY)} == set()


def test_files_are_small():
    sources = [path for folder in ("sldml", "launch", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in sources}
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after `code`."""
    script = f"{code}\nimport sys\nprint(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import sldml.recordings.sources, sldml.recordings.reading, sldml.recordings.readers.ntu",
        "import sldml; dir(sldml)",
        "import sldml.commands.command, sldml.errors",
        "import sldml.commands.main",
        *(
            f"import runpy; runpy.run_path({str(path.relative_to(ROOT))!r}, run_name='imported')"
            for path in COMMANDS
            if path.name != "__init__.py"
        ),
    ],
)
def test_what_is_light_loads_nothing_heavy(code: str):
    """Reading files in parallel, and `--help`, would wait seconds for it."""
    loaded = loaded_by(code)
    assert any(name.startswith("sldml") for name in loaded)
    assert {"torch", "ray", "mlflow", "optuna", "pandas"} & loaded == set()


def test_the_test_sees_nested_imports_and_not_those_for_types():
    code = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import mlflow
else:
    import json
from sldml import config
from sldml.recordings import Recording, readers
class A:
    import ray.tune
def f():
    import torch
"""
    tree = ast.parse(code)
    at_once = {"typing", "json", "sldml.config", "sldml.recordings", "sldml.recordings.readers", "ray.tune"}
    assert set(imports(tree, nested=False)) == at_once
    assert set(imports(tree)) == at_once | {"torch"}
