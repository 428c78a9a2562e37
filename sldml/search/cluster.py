"""The Ray cluster: connecting, dividing cores and GPUs among trials, copying data to nodes."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sldml.errors import InputError
from sldml.prepared.checksums import mismatch
from sldml.prepared.whole_folder import FILES, writing

_CHUNK_BYTES = 64 * 2**20
_OBJECT_STORE_BYTES = 512 * 2**20
"""Enough for the arguments of trials; recordings are memory-mapped, not in Ray's object store."""
_CONNECT_S = 5.0
_SETTINGS = {
    # Trials run where they are started; every path that they get is absolute.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # One writer, ours: no result.json, no CSV, no TensorBoard beside the journal.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    # Ctrl-C is handled by sldml.interruption; searches are resumed from the journal.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # Without its head, Ray would end this process after a minute; `sldml.search.head` ends it in order.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "300",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A connection to the cluster at `address` (`auto`: the one of this machine), or a local one of its own.

    Raises:
        InputError: no cluster is reachable at the address.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    if address is None and in_ray_job():
        address = os.environ.get("RAY_ADDRESS")
    # A caller (a test, a notebook) may have its own connection; it stays the caller's.
    borrowed = ray.is_initialized()
    try:
        if not borrowed:
            with _sigterm_kept():
                _connect(address, quiet)
        yield
    finally:
        if not borrowed:
            ray.shutdown()


def _connect(address: str | None, quiet: Mapping[str, Any]) -> None:
    if address in (None, "local"):
        # "local": else Ray would join a cluster that somebody started on this machine with `ray start`.
        ray.init("local", include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES, **quiet)
        return
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"no Ray cluster at --address {address}: {reason}") from error


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Restore the handler of SIGTERM, which Ray replaces."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def in_ray_job() -> bool:
    """Whether this process is the driver of a submitted Ray job."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def starts_ray(address: str | None) -> bool:
    """Whether `connected` will start a Ray of its own on this machine."""
    return address in (None, "local") and not in_ray_job() and not ray.is_initialized()


def check_address(address: str | None) -> None:
    """Check that `host:port` accepts connections (Ray itself would retry for minutes).

    Raises:
        InputError: it does not.
    """
    if address in (None, "auto", "local"):
        return
    if str(address).startswith(("http://", "https://")):
        raise InputError(
            f"--address {address}: is the address of Ray's dashboard, for `ray job submit`; give host:port of the head"
        )
    host, _, port = str(address).removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"--address {address}: write auto, or host:port of the cluster's head")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster at --address {address}: {error}") from error


@dataclass(frozen=True)
class Slots:
    """Number of concurrent trials and the resources of each."""

    count: int
    cpus: float
    gpus: float

    @property
    def threads(self) -> int:
        """Number of compute threads of one trial."""
        return max(1, int(self.cpus))

    @property
    def resources(self) -> dict[str, float]:
        """The resources in the form of Ray Tune."""
        return {"cpu": self.cpus, "gpu": self.gpus} if self.gpus else {"cpu": self.cpus}


def share_out(
    *, concurrent: int | None, cpus_per_trial: float | None, gpus_per_trial: float | None, num_trials: int
) -> Slots:
    """Divide the resources of the connected cluster among trials; see `share`.

    Raises:
        InputError: not even one trial fits.
    """
    total = ray.cluster_resources()
    return share(
        num_cpus=total.get("CPU", 0.0),
        num_gpus=total.get("GPU", 0.0),
        concurrent=concurrent,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        num_trials=num_trials,
    )


def share(
    *,
    num_cpus: float,
    num_gpus: float,
    concurrent: int | None,
    cpus_per_trial: float | None,
    gpus_per_trial: float | None,
    num_trials: int,
) -> Slots:
    """Divide resources among trials, with defaults for arguments that are None.

    Each GPU is shared by up to four trials with at least two cores each, because an encoder for small images does not
    use a whole GPU. Without GPUs, trials get one core each: two trials with one thread finish sooner than one after the
    other with two. Remaining cores are divided among the trials.

    Raises:
        InputError: not even one trial fits.
    """
    if gpus_per_trial is None:
        per_gpu = 0 if num_gpus == 0 else min(4, max(1, int(num_cpus / num_gpus) // 2))
        gpus_per_trial = 1.0 / per_gpu if per_gpu else 0.0
        if per_gpu and concurrent is not None:
            gpus_per_trial = max(gpus_per_trial, min(1.0, num_gpus / concurrent))
    by_gpu = int(num_gpus / gpus_per_trial + 1e-9) if gpus_per_trial else None
    if by_gpu == 0:
        raise InputError(f"--gpus-per-trial {gpus_per_trial:g}: only {num_gpus:g} GPUs are available")
    count = min(concurrent or int(num_cpus), num_trials, by_gpu or num_trials)
    if cpus_per_trial is None:
        cpus_per_trial = max(1.0, float(int(num_cpus / max(1, count))))
    fit = int(num_cpus / cpus_per_trial) if cpus_per_trial else count
    if fit < 1:
        raise InputError(f"--cpus-per-trial {cpus_per_trial:g}: only {num_cpus:g} cores are available")
    return Slots(max(1, min(count, fit)), cpus_per_trial, gpus_per_trial)


# -------------------------------------------------------------------------------------------- prepared sets on nodes


class SetServer:
    """Reads the files of a prepared set on the driver's node, for nodes without access to them."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {name: (self._folder / name).stat().st_size for name in FILES}

    def read(self, name: str, offset: int) -> bytes:
        """One piece of a file."""
        if name not in FILES:
            raise ValueError(f"{name} is not a file of a prepared set")
        with (self._folder / name).open("rb") as file:
            file.seek(offset)
            return file.read(_CHUNK_BYTES)


def serve_set(folder: Path) -> Any:
    """An actor on this node from which other nodes copy the prepared set; None without other nodes."""
    if len([node for node in ray.nodes() if node["Alive"]]) < 2:
        return None
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(SetServer).options(num_cpus=0, scheduling_strategy=here).remote(str(folder))


def bring_set(folder: str, server: Any) -> Path:
    """The local folder of the driver's prepared set `folder`, copied to this node if needed.

    A node with its own `SLDML_CACHE` gets a copy there. Otherwise the driver's folder is used if it is accessible, else
    a copy in the folder for temporary files. A copy is compared with its checksums when it arrives.

    Raises:
        OSError: the copy does not match its checksums.
    """
    given, own = Path(folder), os.environ.get("SLDML_CACHE")
    if (own is None or Path(own) == given.parent) and given.is_dir():
        return given
    cache = Path(own) if own else Path(tempfile.gettempdir()) / "sldml-prepared"
    target = cache / given.name
    if target.is_dir():
        return target
    if server is None:
        return given
    with writing(target) as scratch:
        if scratch is not None:
            for name, size in ray.get(server.sizes.remote()).items():
                with (scratch / name).open("wb") as file:
                    while file.tell() < size and (piece := ray.get(server.read.remote(name, file.tell()))):
                        file.write(piece)
            if (reason := mismatch(scratch)) is not None:
                raise OSError(f"the copy of prepared set {folder} is damaged: {reason}")
    return target
