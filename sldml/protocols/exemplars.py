"""The exemplar of each novel class: which recording it is."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sldml.config.protocol import ExemplarConfig
from sldml.errors import listed
from sldml.protocols.classes import ProtocolError, natural_order
from sldml.recordings.naming import natural_key


def ntu_exemplar(label: str) -> str:
    """Name of the official exemplar of a class `Axxx`."""
    return f"S{1 if int(label[1:]) < 60 else 18:03d}C003P008R001{label}"


def utd_exemplar(label: str) -> str:
    """Name of the exemplar of a class: subject 1, trial 1."""
    return f"{label}_s1_t1"


def first_by_name(catalog: pd.DataFrame, classes: Sequence[str]) -> dict[str, str]:
    """The first recording of each class by name, in natural order; classes without recordings are left out."""
    names = catalog[catalog["label"].isin(classes)].groupby("label")["name"]
    firsts = {str(label): min(group, key=natural_key) for label, group in names}
    return {label: firsts[label] for label in classes if label in firsts}


def choose_exemplars(
    config: ExemplarConfig, catalog: pd.DataFrame, novel: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Choose the exemplar of each novel class by the rule of the generic protocol.

    Returns:
        The exemplar's name by class, and notes for the user.

    Raises:
        ProtocolError: no recording of a class fits the rule.
    """
    match config.name:
        case "first":
            return first_by_name(catalog, novel), []
        case "subject":
            assert config.subject is not None
            subject = config.subject.subject
            if subject is None:
                subject = natural_order(catalog["subject"])[0]
            return _require_all(_of_subject(catalog, subject), novel, f"of subject {subject}"), []
        case "trial":
            assert config.trial is not None
            rule = config.trial
            found = _with_value(catalog, rule.column, rule.value)
            wanted = f"with {rule.column} {rule.value}"
            if rule.subject is not None:
                found, wanted = _of_subject(found, rule.subject, catalog), f"{wanted} of subject {rule.subject}"
            return _require_all(found, novel, wanted), []
        case "list":
            assert config.list is not None
            named, digest = _read_list(Path(config.list.file))
            for label in novel:
                if label not in named:
                    raise ProtocolError(f"{config.list.file}: names no exemplar of the novel class {label}")
            return {c: named[c] for c in novel}, [f"exemplars are those of {config.list.file} (hash {digest})"]


def _of_subject(catalog: pd.DataFrame, subject: str, everything: pd.DataFrame | None = None) -> pd.DataFrame:
    known = natural_order((catalog if everything is None else everything)["subject"])
    if subject not in known:
        raise ProtocolError(f"protocol.exemplar: there is no subject {subject}; there are {listed(known)}")
    return catalog[catalog["subject"] == subject]


def _with_value(catalog: pd.DataFrame, column: str, value: int | str) -> pd.DataFrame:
    if column not in catalog:
        raise ProtocolError(
            f"protocol.exemplar.trial.column: the recordings have no {column}; they have {', '.join(catalog.columns)}"
        )
    if pd.api.types.is_numeric_dtype(catalog[column]):
        number = pd.to_numeric(pd.Series([value]), errors="coerce").iloc[0]
        return catalog[catalog[column] == number]
    return catalog[catalog[column].astype(str) == str(value)]


def _require_all(catalog: pd.DataFrame, novel: Sequence[str], wanted: str) -> dict[str, str]:
    firsts = first_by_name(catalog, novel)
    for label in novel:
        if label not in firsts:
            raise ProtocolError(
                f"the novel class {label} has no recording {wanted}, so it has no exemplar: choose another "
                "protocol.exemplar or leave the class out"
            )
    return firsts


def _read_list(path: Path) -> tuple[dict[str, str], str]:
    """The exemplar's name by class, and the hash of the file."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ProtocolError(
            f"protocol.exemplar.list.file {path}: cannot be read ({reason}); give a file that is there from "
            "the folder of the command, or an absolute path"
        ) from error
    try:
        lines = [[cell.strip() for cell in line] for line in csv.reader(io.StringIO(text), strict=True)]
    except csv.Error as error:
        raise ProtocolError(f"{path}: is not a valid CSV file ({error})") from error
    if not lines or lines[0] != ["label", "name"]:
        raise ProtocolError(f"{path}: the first line must be label,name")
    named: dict[str, str] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not any(line):
            continue
        if len(line) != 2 or not all(line):
            raise ProtocolError(f"{path}, line {number}: a line is label,name, but it is {','.join(line)!r}")
        if line[0] in named:
            raise ProtocolError(f"{path}, line {number}: class {line[0]} has two exemplars; one is wanted")
        named[line[0]] = line[1]
    return named, hashlib.blake2b(content, digest_size=8).hexdigest()
