"""A search space in YAML, samples of one, and what is said of a mistake in one."""

from __future__ import annotations

import optuna
import pytest

from sldml.config.space import SearchSpace
from sldml.config.space_file import parse_space
from sldml.errors import InputError

SPACE = """\
data: {dataset: synthetic}
protocol: {name: ntu_one_shot, num_auxiliary: 30}
fixed:
  encoder: {name: small_cnn}
  train: {max_epochs: 5}
search: {trials: 7}
space:
  optimizer:
    lr: {float: [1e-4, 1e-2], log: true}
  batch:
    num_classes: {int: [4, 64], log: true}
  loss:
    choose:
      triplet_margin: {margin: {float: [0.05, 0.5]}, swap: {choice: [true, false]}}
      sup_con:
      arcface: {scale: {float: [8.0, 64.0], log: true}}
  miner:
    when: {loss: [triplet_margin, sup_con]}
    choose:
      none:
      multi_similarity: {epsilon: {float: [0.05, 0.8]}}
"""


def sampled(space: SearchSpace, count: int, seed: int = 0) -> list[dict[str, object]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    params = []
    for _ in range(count):
        trial = study.ask()
        space(trial)
        params.append(trial.params)
    return params


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_space(text, "made", "dir/made.yaml")
    return str(caught.value)


def small(body: str) -> str:
    """The text with an honest space where it has none of its own."""
    return body if "space:" in body else body + "space:\n  optimizer: {lr: {float: [1e-4, 1e-2]}}\n"


def assert_told(body: str, message: str) -> None:
    """The space with this text is refused in one line, by the number of the line that is marked with HERE."""
    text = small(body)
    (line,) = [number for number, content in enumerate(text.splitlines(), start=1) if "# HERE" in content]
    told = refusal(text)
    assert told.startswith(f"dir/made.yaml, line {line}: "), told
    assert message in told
    assert "\n" not in told
