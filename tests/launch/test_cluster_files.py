"""The files for clusters: Ray's own check takes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from support.running import ROOT

FILES = sorted((ROOT / "launch" / "cluster").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_cluster_file_is_what_ray_up_takes(path: Path):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    validate_config(prepare_config(config))
    starts = [line for key in ("head", "worker") for line in config[f"{key}_start_ray_commands"] if "start" in line]
    assert len(starts) == 2
    assert all(line.startswith("RAY_AUTH_MODE=token ") for line in starts), "the cluster would be open to anybody"
    assert "~/.ray/auth_token" in config["file_mounts"]


def test_a_fault_would_be_found():
    config = yaml.safe_load(FILES[0].read_text(encoding="utf-8"))
    with pytest.raises(Exception, match=r"(?i)additional properties"):
        validate_config(prepare_config({**config, "wokers": 3}))
