"""How a cluster is shared out, and how its nodes come by the data."""

import numpy as np
import pytest

from sldml.errors import InputError
from sldml.prepared.checksums import write_checksums
from sldml.prepared.whole_folder import CONTENTS, FILES
from sldml.search import cluster
from sldml.search.cluster import SetServer, bring_set, share


def slots(num_cpus, num_gpus=0.0, *, concurrent=None, cpus=None, gpus=None, trials=100):
    found = share(
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        concurrent=concurrent,
        cpus_per_trial=cpus,
        gpus_per_trial=gpus,
        num_trials=trials,
    )
    return found.count, found.cpus, found.gpus, found.threads


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (slots(2), (2, 1.0, 0.0, 1)),
        (slots(8, concurrent=2), (2, 4.0, 0.0, 4)),
        (slots(8, trials=3), (3, 2.0, 0.0, 2)),
        (slots(8, cpus=3), (2, 3, 0.0, 3)),
        (slots(2, cpus=0.5), (2, 0.5, 0.0, 1)),
        (slots(16, 1), (4, 4.0, 0.25, 4)),
        (slots(4, 1), (2, 2.0, 0.5, 2)),
        (slots(1, 1), (1, 1.0, 1.0, 1)),
        (slots(16, 1, concurrent=1), (1, 16.0, 1.0, 16)),
        (slots(64, 8, gpus=1), (8, 8.0, 1, 8)),
        (slots(64, 8, gpus=0), (64, 1.0, 0, 1)),
    ],
)
def test_what_is_not_given_is_chosen(asked, expected):
    assert asked == expected


@pytest.mark.parametrize(
    ("arguments", "named"), [({"cpus": 4}, "--cpus-per-trial 4"), ({"gpus": 1}, "--gpus-per-trial 1")]
)
def test_a_trial_that_does_not_fit_is_refused(arguments, named):
    with pytest.raises(InputError, match=named):
        slots(2, **arguments)


@pytest.fixture
def prepared(tmp_path):
    folder = tmp_path / "driver" / "set-0123"
    folder.mkdir(parents=True)
    for name in CONTENTS:
        (folder / name).write_bytes(np.random.default_rng(len(name)).bytes(1000 + len(name)))
    write_checksums(folder)
    return folder


class LocalActor:
    """Calls a `SetServer` in this process, in the form in which Ray calls an actor."""

    def __init__(self, folder):
        self._server = SetServer(str(folder))
        self.reads = 0

    def __getattr__(self, name):
        method = getattr(self._server, name)

        class Remote:
            @staticmethod
            def remote(*arguments):
                self.reads += name == "read"
                return method(*arguments)

        return Remote


def test_the_drivers_folder_is_used_where_it_is_seen(prepared, monkeypatch):
    monkeypatch.delenv("SLDML_CACHE", raising=False)
    assert bring_set(str(prepared), server=None) == prepared


def test_a_node_with_its_own_cache_copies_the_set_once_and_whole(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("SLDML_CACHE", str(tmp_path / "node"))
    monkeypatch.setattr(cluster.ray, "get", lambda value: value)
    monkeypatch.setattr(cluster, "_CHUNK_BYTES", 100)
    actor = LocalActor(prepared)
    copy = bring_set(str(prepared), actor)
    assert copy == tmp_path / "node" / prepared.name
    assert all((copy / name).read_bytes() == (prepared / name).read_bytes() for name in FILES)
    reads = actor.reads
    assert bring_set(str(prepared), actor) == copy
    assert actor.reads == reads, "it was copied twice"
    assert [p.name for p in copy.parent.iterdir() if p.is_dir()] == [copy.name], "scratch folders are left"


@pytest.mark.parametrize("arrives", [bytes(100), b""])
def test_a_damaged_copy_is_not_kept(prepared, tmp_path, monkeypatch, arrives):
    def read(self, name, offset):
        return arrives if name == "signals.npy" else whole(self, name, offset)

    whole = SetServer.read
    monkeypatch.setattr(SetServer, "read", read)
    monkeypatch.setenv("SLDML_CACHE", str(tmp_path / "node"))
    monkeypatch.setattr(cluster.ray, "get", lambda value: value)
    with pytest.raises(OSError, match=r"set-0123 is damaged: signals\.npy does not match its checksum"):
        bring_set(str(prepared), LocalActor(prepared))
    assert not any(path.is_dir() for path in (tmp_path / "node").iterdir())


def test_a_server_reads_files_of_the_set_alone(prepared):
    with pytest.raises(ValueError, match="not a file of a prepared set"):
        SetServer(str(prepared)).read("../secret", 0)
