"""Fair comparisons of the choices of one axis of a search space, each with its own space.

The protocol is that of Musgrave et al., *A Metric Learning Reality Check* (2020): the same budget for every choice,
class-disjoint folds for validation, and the best configuration of each choice retrained with several seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sldml.config.dotted import merge
from sldml.config.space import SearchSpace
from sldml.config.space_tree import Branches, Group, Node, SpaceError
from sldml.errors import suggestion
from sldml.journal import ComparisonRecord

NUM_FOLDS = 3
"""Default number of class folds for validation."""
FEWEST_SEEDS = 2
"""With one seed, differences cannot be distinguished from chance."""

_Conditions = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Comparison:
    """The choices of a comparison and their reference."""

    axis: str
    """Path of the choice: `loss`, `miner`, `encoder` …"""
    choices: tuple[str, ...]
    against: str
    """The reference choice."""
    num_folds: int
    notes: tuple[str, ...] = ()
    """Messages on differences from the settings of the space."""

    def to_record(self) -> ComparisonRecord:
        """The record in the journal."""
        return ComparisonRecord(axis=self.axis, choices=self.choices, against=self.against, num_folds=self.num_folds)

    def spaces(self, space: SearchSpace) -> dict[str, SearchSpace]:
        """The space of each choice: that of the comparison, with only one branch of the axis.

        The name of the branch remains a parameter with one value, so that samples are configurations of the whole
        space, which a later search can start with.
        """
        return {choice: narrowed(space, self.axis, (choice,)) for choice in self.choices}


def compare(
    space: SearchSpace,
    axis: str,
    *,
    choices: Sequence[str] | None = None,
    against: str | None = None,
    num_folds: int = NUM_FOLDS,
) -> tuple[SearchSpace, Comparison]:
    """The space of a comparison and the comparison itself.

    Args:
        space: The space of a search.
        axis: Path of the choice whose branches are compared.
        choices: The choices to compare, the first one as the reference; None takes all, in the order of the file.
        against: Another reference.
        num_folds: Number of class folds, if the space has none.

    Raises:
        SpaceError: the space has no such choice, or it cannot be compared fairly; the message says what to do.
    """
    try:
        known = _branches(space, axis)
        names = tuple(known.options) if choices is None else _named(choices, known, "--choices")
        if against is not None:
            _named([against], known, "--against")
            if against not in names:
                raise SpaceError(f"--against {against} is not among --choices {','.join(names)}")
        if len(names) < 2:
            raise SpaceError(f"{axis} has one choice, {names[0]}: a comparison needs two")
        compared, notes = _everywhere(narrowed(space, axis, names), axis)
        if compared.search.final_seeds < FEWEST_SEEDS:
            raise SpaceError(f"one final seed is not enough to estimate chance: --final-seeds {FEWEST_SEEDS} or more")
        compared, folds = _over_folds(compared, num_folds)
        if compared.search.scheduler != "none":
            notes.append(
                f"scheduler none instead of {compared.search.scheduler}: every trial runs all its epochs, so that all "
                "choices have the same budget"
            )
            compared = replace(compared, search=compared.search.model_copy(update={"scheduler": "none"}))
        comparison = Comparison(axis, names, against or names[0], folds, tuple(notes))
        _check_each(compared, comparison)
    except SpaceError as error:
        raise SpaceError(f"--compare {axis}: {error}") from error
    return compared, comparison


def compare_again(space: SearchSpace, record: ComparisonRecord | None) -> tuple[SearchSpace, Comparison | None]:
    """`compare` for a resumed search, from the record in its journal (None for a plain search).

    Raises:
        SpaceError: the space does not fit the comparison any more, or the folds differ.
    """
    if record is None:
        return space, None
    compared, comparison = compare(
        space, record.axis, choices=record.choices, against=record.against, num_folds=record.num_folds
    )
    if comparison.num_folds != record.num_folds:
        raise SpaceError(
            f"evaluation.num_folds={comparison.num_folds}: the comparison uses {record.num_folds} folds, which must "
            "be the same for all trials"
        )
    return compared, comparison


def narrowed(space: SearchSpace, path: str, names: Sequence[str]) -> SearchSpace:
    """The space with only these branches of the choice at `path`, in this order."""

    def walk(node: Node) -> Node:
        match node:
            case Group(members=members):
                return replace(node, members=tuple(walk(member) for member in members))
            case Branches(path=p, options=options):
                kept = names if p == path else tuple(options)
                return Branches(p, {name: _group(walk(options[name])) for name in kept})
        return node

    return replace(space, root=_group(walk(space.root)))


def _group(node: Node) -> Group:
    assert isinstance(node, Group)
    return node


def _find(node: Node, path: str, under: _Conditions = ()) -> tuple[Branches, _Conditions] | None:
    """The choice at `path`, and the conditions under which it exists."""
    match node:
        case Branches(path=p) if p == path:
            return node, under
        case Branches(path=p, options=options):
            places = [_find(option, path, (*under, (p, (name,)))) for name, option in options.items()]
        case Group(members=members, when=when):
            places = [_find(member, path, (*under, *when)) for member in members]
        case _:
            places = []
    return next((place for place in places if place is not None), None)


def _branches(space: SearchSpace, axis: str) -> Branches:
    found = _find(space.root, axis)
    if found is not None:
        return found[0]
    paths = sorted({leaf.path.removesuffix(".name") for leaf in space.leaves() if leaf.path.endswith(".name")})
    listed = ", ".join(path for path in paths if _find(space.root, path) is not None) or "none"
    if (fixed := _fixed_name(space, axis)) is not None:
        raise SpaceError(f"{axis}.name is fixed to {fixed}, not searched; choices of {space.name}: {listed}")
    raise SpaceError(f"{space.name} has no such choice; there are: {listed}")


def _named(names: Sequence[str], known: Branches, option: str) -> tuple[str, ...]:
    for name in names:
        if name not in known.options:
            raise SpaceError(f"{option}: {known.path} has no choice {name!r} ({suggestion(name, list(known.options))})")
        if list(names).count(name) > 1:
            raise SpaceError(f"{option}: {name} is given twice")
    return tuple(names)


def _everywhere(space: SearchSpace, axis: str) -> tuple[SearchSpace, list[str]]:
    """The space without other choices under which the axis does not exist.

    Otherwise some trials would lack the compared axis.
    """
    found = _find(space.root, axis)
    assert found is not None
    notes: list[str] = []
    for path, names in found[1]:
        other = _find(space.root, path)
        if other is None:
            if (fixed := _fixed_name(space, path)) not in names:
                raise SpaceError(
                    f"{axis} exists only with {path} {', '.join(names)}, but {path}.name is fixed to {fixed}: "
                    f"--set {path}.name={names[0]}"
                )
            continue
        kept = tuple(name for name in other[0].options if name in names)
        if not kept:
            raise SpaceError(f"{axis} does not exist under any remaining {path}: extend `when` in the space")
        if len(kept) < len(other[0].options):
            notes.append(
                f"{axis} exists only with {path} {', '.join(kept)}: no other {path} is tried "
                f"(--set {path}.name={kept[0]} holds it fixed)"
            )
            space = narrowed(space, path, kept)
        space, more = _everywhere(space, path)
        notes += more
    return space, notes


def _fixed_name(space: SearchSpace, path: str) -> Any:
    node: Any = space.base
    for key in (*path.split("."), "name"):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _over_folds(space: SearchSpace, default: int) -> tuple[SearchSpace, int]:
    """The space with class folds for validation, and their number."""
    path = "evaluation.num_folds"
    if any(leaf.path == path for leaf in space.leaves()):
        raise SpaceError(f"{path} is searched, but all choices need the same folds: --set {path}={default}")
    given = space.base.get("evaluation", {}).get("num_folds", default)
    if given < 2:
        raise SpaceError(f"{path}={given}: a comparison validates over class folds, 2 or more")
    return replace(space, base=merge(space.base, {"evaluation": {"num_folds": given}})), int(given)


def _check_each(space: SearchSpace, comparison: Comparison) -> None:
    """Refuse spaces that are invalid for a choice, and grids with different numbers of trials."""
    spaces = comparison.spaces(space)
    for each in spaces.values():
        each.probe()
        each.require_sampler()
    if space.search.sampler != "grid":
        return
    counts = {choice: min(space.search.trials, len(each.grid())) for choice, each in spaces.items()}
    fewest, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[fewest] < counts[most]:
        raise SpaceError(
            f"search.sampler grid has {counts[fewest]} combinations for {fewest} and more for {most}, so budgets "
            f"differ: use --trials {counts[fewest]}, or another sampler"
        )
