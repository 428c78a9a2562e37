"""Searches from Python: `sldml.tune` runs one, `sldml.load` opens one, `SearchResult` has its tables and its model."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from sldml.commands.command import storage_folder
from sldml.errors import InputError, hide_secrets, hide_uris
from sldml.journal import FoundSearch, Shipped, find_search
from sldml.report.frames import (
    BestTrial,
    baselines_frame,
    best_trial,
    epochs_frame,
    finals_frame,
    trials_frame,
)

if TYPE_CHECKING:
    from sldml.recognition.recognizer import Recognizer

_ROWS_SHOWN = 5


def tune(
    space: str | Path | Mapping[str, Any] | None = None,
    *,
    data: str | Path | None = None,
    trials: int | str | None = None,
    max_epochs: int | None = None,
    name: str | None = None,
    storage: str | Path = "results",
    concurrent: int | None = None,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | None = None,
    time_budget: float | str | None = None,
    seed: int | None = None,
    top_k: int | None = None,
    final_seeds: int | None = None,
    final: bool | None = None,
    warm_start: str | None = None,
    resume: str | None = None,
    strict: bool | None = None,
    address: str | None = None,
    tracking_uri: str | None = None,
    register: str | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> SearchResult:
    """Search for the best model of a dataset, as the command `tune` does. Returns when the search is done.

    Args:
        space: Name of a search space (`"demo"`), a YAML file, or a dict with the content of such a file.
        data: Folder of raw datasets (default: the environment variable `DATASET_FOLDER`).
        trials: Number of trials; with `resume`, `"+20"` adds 20.
        max_epochs: Maximum epochs of a trial.
        name: Name of the search; its results go to `<storage>/<name>/`.
        storage: Folder of results.
        concurrent: Maximum number of trials at once.
        cpus_per_trial: CPU cores for each training.
        gpus_per_trial: GPUs for each training, or a fraction of one.
        time_budget: Time until the report, all steps included: seconds, or a text such as `"2h"`.
        seed: Seed of the sampler and of the trainings.
        top_k: Number of top configurations to retrain.
        final_seeds: Number of seeds for each.
        final: Whether to train final models, run the sealed test, and save a model (default: True).
        warm_start: Start with the best configurations of the earlier search of this name.
        resume: Resume the search of this name, with its own space, and with the options of its last call where they
            are not given.
        strict: Whether to stop if a recording cannot be read (default: False).
        address: Ray cluster: `"auto"`, or `"host:port"` (default: a local one, or the one that this process is
            connected to).
        tracking_uri: MLflow store (default: SQLite in `storage`).
        register: Name under which the saved model is registered in MLflow.
        settings: Values of the configuration by dotted path, such as `{"loss.name": "sup_con"}`.
        progress: Whether to show the progress.

    Raises:
        InputError: An argument is wrong, or something that it names is not available.
        KeyboardInterrupt: The search was interrupted. Its report was written, and it can be resumed.
        RuntimeError: The search ended without a result, for example because all trials failed.

    Example:
        >>> import sldml
        >>> result = sldml.tune("demo", trials=4, max_epochs=2, name="first")
        >>> result.trials[["trial_id", "loss.name", "val/accuracy"]]
    """
    with _arguments_named():
        from sldml.commands.notebook import progress_printer
        from sldml.commands.request import search_request

        folder = data or os.environ.get("DATASET_FOLDER")
        request = search_request(
            str(space) if isinstance(space, Path) else space,
            command=_call(space, trials=trials, max_epochs=max_epochs, resume=resume, settings=settings),
            data=None if folder is None else Path(folder),
            trials=None if trials is None else str(trials),
            max_epochs=max_epochs,
            name=name,
            storage=str(storage),
            concurrent=concurrent,
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
            time_budget=time_budget if time_budget is None or isinstance(time_budget, str) else f"{time_budget}s",
            seed=seed,
            top_k=top_k,
            final_seeds=final_seeds,
            final=final,
            warm_start=warm_start,
            resume=resume,
            strict=strict,
            address=address,
            tracking_uri=tracking_uri,
            register=register,
            settings=[f"{path}={_as_yaml(value)}" for path, value in (settings or {}).items()],
        )
        with progress_printer(progress) as printer:
            from sldml.pipeline import run

            outcome = run(request, printer)
    store = "" if request.tracking_uri is None else f", tracking_uri={hide_secrets(request.tracking_uri)!r}"
    again = f"sldml.tune(resume={request.name!r}, storage={str(request.storage)!r}{store})"
    if outcome["state"] == "interrupted":
        raise KeyboardInterrupt(f"to resume: {again}")
    if outcome["state"] == "failed":
        raise RuntimeError(f"search {request.name} failed: {outcome['error']}; to resume: {again}")
    return load(request.folder)


def load(name_or_folder: str | Path, storage: str | Path = "results") -> SearchResult:
    """The results of a search so far, from its journal; the search may still run.

    Args:
        name_or_folder: Name of a search in `storage`, or its folder.
        storage: Folder of results.

    Raises:
        InputError: There is no such search, or it has not started.

    Example:
        >>> import sldml
        >>> result = sldml.load("first")
        >>> result.best.value
    """
    with _arguments_named():
        return SearchResult(find_search(str(name_or_folder), storage_folder(str(storage))))


class SearchResult:
    """The results of a search, as its journal has them when they are loaded.

    Tables are pandas DataFrames. Their columns have the names that the search uses everywhere: dotted paths of the
    configuration (`optimizer.lr`) and names of metrics (`val/accuracy`).

    Example:
        >>> import sldml
        >>> result = sldml.load("first")
        >>> result.trials.groupby("loss.name")["val/accuracy"].max()
        >>> result.epochs.pivot(index="epoch", columns="trial_id", values="val/accuracy").plot()
    """

    def __init__(self, found: FoundSearch) -> None:
        self._history = found.history
        self.name = found.name
        self.folder = found.folder

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row per trial: `trial_id`, `state`, `val/accuracy`, `num_epochs`, times, and sampled parameters."""
        return trials_frame(self._history)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """One row per epoch of a trial: `trial_id`, `epoch`, `time`, and the metrics that are single values."""
        return epochs_frame(self._history)

    @cached_property
    def baselines(self) -> pd.DataFrame:
        """One row per candidate of a baseline, with its settings; `stands` marks the best one of each baseline."""
        return baselines_frame(self._history)

    @cached_property
    def finals(self) -> pd.DataFrame:
        """One row per final model (a configuration and a seed), with its `test/accuracy` on the sealed test."""
        return finals_frame(self._history)

    @cached_property
    def best(self) -> BestTrial | None:
        """The best trial by validation accuracy (`trial_id`, `value`, `config`); None without a comparable one."""
        return best_trial(self._history)

    @property
    def shipped(self) -> Shipped | None:
        """The saved model (`name`, `is_trained`, `accuracy` on the sealed test, `reason` …); None if none was saved."""
        return self._history.shipped

    def recognizer(self, *, enrolled: bool = False) -> Recognizer:
        """Load the saved model.

        Args:
            enrolled: Whether to enrol the exemplars that were saved with it.

        Raises:
            InputError: The search has saved no model.
        """
        if self.shipped is None:
            raise InputError(
                f"search {self.name} has saved no model: its sealed test has not run, or it compares choices"
            )
        from sldml.recognition.recognizer import Recognizer

        return Recognizer.load(self.folder / "model", enrolled=enrolled)

    def report(self) -> Path:
        """Write `report.html` of these results into the folder of the search, and return its path."""
        from sldml.report.report import write_report

        return write_report(self._history, self.folder / "report.html")

    def __repr__(self) -> str:
        parts = [f"{len(self.trials)} trials"]
        if self.best is not None:
            parts.append(f"best {self.best.trial_id} with validation accuracy {self.best.value:.3f}")
        if self.shipped is not None:
            parts.append(f"saved model {self.shipped.name}, {self.shipped.accuracy:.3f} on the sealed test")
        return f"<SearchResult {self.name}: {'; '.join(parts)}>"

    def _repr_html_(self) -> str:
        """What a notebook displays: a sentence, the best trials, and the baselines."""
        best = self.trials.nlargest(_ROWS_SHOWN, ["num_epochs", "val/accuracy"]).drop(columns=["started", "error"])
        standing = self.baselines[self.baselines["stands"]]
        tables = [best, standing[["baseline", "val/accuracy", "test/accuracy"]]]
        shown = [table.to_html(index=False, float_format="{:.4g}".format, na_rep="") for table in tables if len(table)]
        return "\n".join([f"<p>{escape(repr(self)[1:-1])}</p>", *shown])


@contextmanager
def _arguments_named() -> Iterator[None]:
    """Name arguments in messages as Python does: `--time-budget` is `time_budget`, `--set` is `settings`."""
    try:
        yield
    except InputError as error:
        text = hide_uris(str(error)).replace("--set ", "settings: ").replace("--no-final", "final=False")
        raise InputError(re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda m: m[1].replace("-", "_"), text)) from None


def _as_yaml(value: Any) -> str:
    """A plain value as it is written in a setting."""
    if not isinstance(value, str | int | float | bool | None):
        raise InputError(f"settings: {value!r} is no plain value")
    return str(yaml.safe_dump(value, width=float("inf"))).removesuffix("...\n").strip()


def _call(space: str | Path | Mapping[str, Any] | None, **arguments: Any) -> str:
    """The call as the report shows it."""
    given = [] if space is None else ["{…}" if isinstance(space, Mapping) else repr(str(space))]
    given += [f"{name}={value!r}" for name, value in arguments.items() if value is not None]
    return f"sldml.tune({', '.join(given)})"
