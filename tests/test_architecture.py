"""One direction: a module imports only what stands before it, Ray and MLflow are each imported in one place."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# DESIGN.md's order in full, as the code has it: a module imports only what stands above it, and a new one must be
# placed here. Against DESIGN.md's table: batches, embedding and matching lie between the optimisers and the
# baselines; the journal comes before the trial, whose metrics it names; reports and final models know no Ray, so
# that they stand after the search only because they are made of it.
ORDER = [
    "sldml",
    "sldml.errors",
    "sldml.interruption",
    "sldml.dotted",
    "sldml.parts",
    "sldml.cache",
    "sldml.memory",
    "sldml.machine_load",
    "sldml.contact_sheet",
    "sldml.yaml_lines",
    "sldml.config.recording_format",
    "sldml.config.data",
    "sldml.config.protocol",
    "sldml.config.images",
    "sldml.config.encoder",
    "sldml.config.loss",
    "sldml.config.matcher",
    "sldml.config.miner",
    "sldml.config.training",
    "sldml.config",
    "sldml.signals.recording",
    "sldml.signals.skeletons",
    "sldml.signals.layout",
    "sldml.signals",
    "sldml.signals.files",
    "sldml.signals.matlab",
    "sldml.signals.ntu",
    "sldml.signals.utd_mhad",
    "sldml.signals.image_folder",
    "sldml.signals.simitate",
    "sldml.signals.arrays",
    "sldml.signals.declared_files",
    "sldml.signals.manifest",
    "sldml.signals.skeleton_writer",
    "sldml.signals.synthetic_body",
    "sldml.signals.synthetic_motion",
    "sldml.signals.synthetic",
    "sldml.sources",
    "sldml.reading",
    "sldml.preparing",
    "sldml.prepared",
    "sldml.inventory",
    "sldml.class_lists",
    "sldml.exemplars",
    "sldml.subsets",
    "sldml.protocols",
    "sldml.folds",
    "sldml.normalize",
    "sldml.augment",
    "sldml.pictures",
    "sldml.resize",
    "sldml.images.pixels",
    "sldml.images.rows",
    "sldml.images.rows_images",
    "sldml.images.motion",
    "sldml.images.tsrji",
    "sldml.images.curves",
    "sldml.images.representing",
    "sldml.images",
    "sldml.encoders.pooling",
    "sldml.encoders.base",
    "sldml.encoders.ensemble",
    "sldml.encoders.small_cnn",
    "sldml.encoders.signal_networks",
    "sldml.encoders.pretrained",
    "sldml.encoders.torchvision_networks",
    "sldml.encoders.building",
    "sldml.encoders",
    "sldml.losses",
    "sldml.miners",
    "sldml.objective",
    "sldml.optimizers",
    "sldml.batches",
    "sldml.embedding",
    "sldml.inspection",
    "sldml.oneshot",
    "sldml.warping",
    "sldml.matching",
    "sldml.baselines",
    "sldml.gallery",
    "sldml.kept_exemplars",
    "sldml.recognizer",
    "sldml.latency",
    "sldml.raw_files",
    "sldml.checkpoints",
    "sldml.journal",
    "sldml.training",
    "sldml.validation",
    "sldml.trial",
    "sldml.space_tree",
    "sldml.spaces",
    "sldml.space_files",
    "sldml.single",
    "sldml.compared_spaces",
    "sldml.tracking.serving",
    "sldml.tracking.served_model",
    "sldml.tracking.store",
    "sldml.tracking.spool",
    "sldml.tracking.pictures",
    "sldml.tracking.models",
    "sldml.tracking.runs",
    "sldml.tracking.tracker",
    "sldml.tracking.earlier",
    "sldml.tracking",
    "sldml.board",
    "sldml.live",
    "sldml.progress",
    "sldml.recorder",
    "sldml.environment",
    "sldml.search.cluster",
    "sldml.search.searcher",
    "sldml.search.comparing",
    "sldml.search.scheduler",
    "sldml.search.trainable",
    "sldml.search.run",
    "sldml.search",
    "sldml.importance",
    "sldml.noise",
    "sldml.comparison",
    "sldml.search_time",
    "sldml.figures.look",
    "sldml.figures.searching",
    "sldml.figures.sampled",
    "sldml.figures.parameters",
    "sldml.figures.parallel",
    "sldml.figures.workers",
    "sldml.figures.classes",
    "sldml.figures.several",
    "sldml.figures",
    "sldml.comparison_figure",
    "sldml.leaderboard",
    "sldml.report_words",
    "sldml.report_page",
    "sldml.report",
    "sldml.searches",
    "sldml.searches_report",
    "sldml.final",
    "sldml.choice",
    "sldml.exhibits",
    "sldml.shipping",
    "sldml.summary",
    "sldml.recognizing",
    "sldml.evaluating",
    "sldml.request",
    "sldml.command",
    "sldml.options",
    "sldml.groundwork",
    "sldml.pipeline",
    "sldml.plan",
    "sldml.session",
]

MAX_LINES = 400
# Past 400 lines a file wants to be two. One that is longer for a reason is named here with its limit.
LONGER: dict[str, int] = {}
HEAVY = (
    "torch",
    "torchvision",
    "ray",
    "mlflow",
    "optuna",
    "pandas",
    "sldml.pipeline",
    "sldml.plan",
    "sldml.search",
    "sldml.tracking",
)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted((ROOT / "sldml").rglob("*.py"))}
COMMANDS = sorted((ROOT / "launch").rglob("*.py"))


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


def test_each_module_has_its_place():
    assert sorted(ORDER) == sorted(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_stands_before_it(module: str):
    before = set(ORDER[: ORDER.index(module)])
    own = {name for name in imports_of(MODULES[module]) if below(name, "sldml")}
    assert own <= before, f"{module} imports {sorted(own - before)}, which stand after it"


@pytest.mark.parametrize(("library", "package"), [("ray", "sldml.search"), ("mlflow", "sldml.tracking")])
def test_a_library_is_imported_in_one_place(library: str, package: str):
    users = {module for module, path in MODULES.items() if any(below(name, library) for name in imports_of(path))}
    assert users
    assert {module for module in users if not below(module, package)} == set()


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_import_what_is_heavy_only_inside_functions(path: Path):
    at_once = imports_of(path, nested=False)
    assert {name for name in at_once if any(below(name, heavy) for heavy in HEAVY)} == set()


@pytest.mark.parametrize("module", MODULES)
def test_files_are_small(module: str):
    num_lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert num_lines <= LONGER.get(module, MAX_LINES)


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after `code`."""
    script = f"{code}\nimport sys\nprint(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import sldml.signals.ntu, sldml.signals.simitate, sldml.signals.utd_mhad, sldml.signals.synthetic",
        "import sldml.command, sldml.errors",
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
from sldml.signals import Recording, ntu
class A:
    import ray.tune
def f():
    import torch
"""
    tree = ast.parse(code)
    at_once = {"typing", "json", "sldml.config", "sldml.signals", "sldml.signals.ntu", "ray.tune"}
    assert set(imports(tree, nested=False)) == at_once
    assert set(imports(tree)) == at_once | {"torch"}
