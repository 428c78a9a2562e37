"""The processes of a search: they outlive stages, and end with the pool."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import ray
from ray import tune

from sldml.search import pool as pool_module
from sldml.search.cluster import Slots, connected
from sldml.search.pool import Pool
from sldml.search.trainable import WARM_UP

pytestmark = pytest.mark.verify


def toy(config: dict[str, Any], job: Any) -> None:
    """Reports its process once; `sleep_s` comes before."""
    while WARM_UP in config:
        tune.report({"state": "ready"})
        time.sleep(0.1)
    time.sleep(config["sleep_s"])
    tune.report({"state": "completed", "pid": os.getpid()})


class Listed:
    """A stage of given configurations, which keeps what happens."""

    def __init__(
        self, configs: list[dict[str, Any]], *, expires: bool = False, is_late: bool = False, broken: bool = False
    ) -> None:
        self.waiting, self.expires, self.is_late, self.broken = list(configs), expires, is_late, broken
        self.num_running = 0
        self.pids: list[int] = []

    def next(self, key: str) -> Any:
        if not self.waiting:
            return None
        self.num_running += 1
        return self.waiting.pop(0)

    def is_over(self) -> bool:
        return not self.waiting and not self.num_running

    def has_expired(self) -> bool:
        return self.is_over() if self.is_late else self.expires and self.num_running == 2

    def stops(self, key: str, config: Any, result: Any) -> bool:
        return False

    def started(self, config: Any) -> None:
        pass

    def reported(self, key: str, config: Any, result: Any) -> None:
        if self.broken:
            raise OSError("the journal cannot be written")
        self.pids.append(result["pid"])

    def ended(self, key: str, config: Any, result: Any) -> None:
        self.num_running -= 1

    def retried(self, config: Any, error: str) -> None:
        pass

    def lost(self, key: str, config: Any, error: str) -> None:
        self.num_running -= 1


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with connected(None):
        yield


@pytest.fixture
def toy_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    monkeypatch.setattr(pool_module, "train", toy)
    with Pool(ray.put(None), Slots(count=2, cpus=1.0, gpus=0.0), print) as made:  # type: ignore[arg-type]
        yield made


def test_stages_share_processes_until_one_expires_or_the_pool_ends(toy_pool: Pool) -> None:
    toy_pool.start()
    # The first one reaches its deadline with its last training: nothing is left to interrupt.
    stages = [Listed([{"sleep_s": 0.3}] * 4, is_late=is_late) for is_late in (True, False)]
    for stage in stages:
        toy_pool.run(stage)
        time.sleep(1.5)  # between stages, the processes wait
    first, second = (set(stage.pids) for stage in stages)
    assert len(first) == 2
    assert first == second

    # One that expires in the middle of its trainings ends the processes.
    expiring = Listed([{"sleep_s": 600.0}] * 3, expires=True)
    toy_pool.run(expiring)
    assert expiring.pids == []
    assert expiring.num_running == 2, "nothing is told of what was interrupted"
    assert_ended(first)

    # The next one starts new ones. An error of a stage is the search's.
    after = Listed([{"sleep_s": 0.0}])
    toy_pool.run(after)
    assert not set(after.pids) & first
    with pytest.raises(OSError, match="the journal cannot be written"):
        toy_pool.run(Listed([{"sleep_s": 0.0}] * 3, broken=True))
    toy_pool.close()
    assert_ended(set(after.pids))


def test_a_stage_that_expires_keeps_the_processes_whose_trainings_report_soon(toy_pool: Pool) -> None:
    toy_pool.run(Listed([{"sleep_s": 0.0}] * 4))
    expiring = Listed([{"sleep_s": 1.0}] * 4, expires=True)
    toy_pool.run(expiring)
    assert expiring.pids == []
    assert expiring.num_running == 2, "nothing is told of what was interrupted"
    after = [Listed([{"sleep_s": 0.3}] * 4) for _ in range(2)]
    for stage in after:
        toy_pool.run(stage)
    assert len(after[0].pids) == 4
    assert set(after[0].pids) == set(after[1].pids), "no process was started in between"


def assert_ended(pids: set[int]) -> None:
    end = time.time() + 20
    while any(map(psutil.pid_exists, pids)) and time.time() < end:
        time.sleep(0.1)
    assert not any(map(psutil.pid_exists, pids))
