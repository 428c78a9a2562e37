"""The searched part of a space file: every mistake in it is told by file and line."""

from __future__ import annotations

import pytest
from support.spaces import assert_told

MISTAKES = {
    "unknown key": (
        "space:\n  optimizer:\n    lrr: {float: [0.1, 1]}  # HERE\n",
        "there is no 'lrr' (did you mean 'lr'",
    ),
    "unknown part searched": ("space:\n  optimiser: {lr: {float: [0.1, 1]}}  # HERE\n", "did you mean 'optimizer'?"),
    "loss": ("space:\n  loss:\n    choose:\n      sup_con:\n      sub_con:  # HERE\n", "did you mean 'sup_con'?"),
    "key of a branch": (
        "space:\n  loss:\n    choose:\n      sup_con:\n        margin: {float: [0.1, 1]}  # HERE\n",
        "loss.sup_con.margin: there is no 'margin'",
    ),
    "data searched": (
        "space:\n  data:  # HERE\n    seed: {int: [0, 3]}\n",
        "data must be the same for all trials: fix it, or change it with --set",
    ),
    "protocol searched": (
        "space:\n  protocol:  # HERE\n    num_auxiliary: {int: [20, 30]}\n",
        "protocol must be the same for all trials",
    ),
    "choose where nothing is": (
        "space:\n  train:\n    choose:  # HERE\n      a:\n",
        "train has no branches to choose from",
    ),
    "choose at the top": ("space:\n  choose: {a: {}}  # HERE\n", "space has no branches to choose from"),
    "choose without names": ("space:\n  loss:\n    choose: {}  # HERE\n", "loss: choose needs at least one name"),
    "choose a list": ("space:\n  loss:\n    choose: [sup_con]  # HERE\n", "choose must be a mapping"),
    "branch is a number": ("space:\n  loss:\n    choose:\n      sup_con: 3  # HERE\n", "sup_con must be a mapping"),
    "choose and name": (
        "space:\n  loss:\n    choose: {sup_con: {}, arcface: {}}\n    name: {choice: [sup_con, arcface]}  # HERE\n",
        "loss.name",
    ),
    "scalar searched": ("space:\n  optimizer:\n    lr: 0.1  # HERE\n", "put a fixed value under `fixed`"),
    "part is a scalar": (
        "space:\n  head:\n    weight: {float: [0, 1]}\n  optimizer: 3  # HERE\n",
        "a searched value needs",
    ),
    "leaf without a kind": ("space:\n  optimizer:\n    lr: {log: true}  # HERE\n", "needs one of choice, float, int"),
    "two kinds": (
        "space:\n  optimizer:\n    lr:\n      float: [0.1, 1]\n      int: [1, 2]  # HERE\n",
        "there is no 'int'",
    ),
    "key of a leaf": (
        "space:\n  optimizer:\n    lr:\n      float: [0.1, 1]\n      step: 1  # HERE\n",
        "there is no 'step'",
    ),
    "log with choice": (
        "space:\n  optimizer:\n    lr:\n      choice: [0.1, 1.0]\n      log: true  # HERE\n",
        "there is no 'log'",
    ),
    "log is a word": (
        "space:\n  optimizer:\n    lr:\n      float: [0.1, 1]\n      log: yes  # HERE\n",
        "log must be true or false, not 'yes'",
    ),
    "a range is no list": ("space:\n  optimizer:\n    lr: {float: 0.1}  # HERE\n", "float takes a list"),
    "a range of one": (
        "space:\n  optimizer:\n    lr: {float: [0.1]}  # HERE\n",
        "float takes two numbers, [low, high]",
    ),
    "a range of words": ("space:\n  optimizer:\n    lr: {float: [a, b]}  # HERE\n", "float takes two numbers"),
    "a range of truths": ("space:\n  optimizer:\n    lr: {float: [false, true]}  # HERE\n", "float takes two numbers"),
    "fractions for int": ("space:\n  batch:\n    num_classes: {int: [2.5, 4]}  # HERE\n", "int takes two numbers"),
    "low is high": ("space:\n  optimizer:\n    lr: {float: [0.1, 0.1]}  # HERE\n", "`low < high` must hold"),
    "low above high": ("space:\n  batch:\n    num_classes: {int: [8, 4]}  # HERE\n", "`low < high` must hold"),
    "log from zero": ("space:\n  head:\n    weight: {float: [0, 1], log: true}  # HERE\n", "log needs `low > 0`"),
    "below the field": ("space:\n  optimizer:\n    lr: {float: [0.0, 0.1]}  # HERE\n", "greater than 0, but it is 0.0"),
    "above the field": ("space:\n  head:\n    weight: {float: [0.5, 1.5]}  # HERE\n", "less than or equal to 1"),
    "float for a whole number": ("space:\n  batch:\n    num_classes: {float: [2, 9]}  # HERE\n", "valid integer"),
    "choice out of the field": (
        "space:\n  normalize:\n    center: {choice: [none, sometimes]}  # HERE\n",
        "but it is 'sometimes'",
    ),
    "quoted number": ("space:\n  head:\n    weight: {choice: ['0.5']}  # HERE\n", "but it is '0.5'"),
    "choice for a part": ("space:\n  loss: {choice: [sup_con, arcface]}  # HERE\n", "loss: input should be"),
    "choice twice": ("space:\n  head:\n    weight: {choice: [0.1, 0.2, 0.1]}  # HERE\n", "without duplicates"),
    "choice of nothing": ("space:\n  head:\n    weight: {choice: []}  # HERE\n", "choice needs at least one value"),
    "choice of lists": ("space:\n  head:\n    weight: {choice: [[1]]}  # HERE\n", "[1] is no plain value"),
    "fixed and searched": (
        "fixed:\n  optimizer:\n    lr: 0.1  # HERE\nspace:\n  optimizer: {lr: {float: [0.1, 1]}}\n",
        "optimizer.lr is fixed here, but searched under `space`",
    ),
    "name fixed and searched": (
        "fixed:\n  loss:\n    name: sup_con  # HERE\nspace:\n  loss: {choose: {sup_con: {}, arcface: {}}}\n",
        "loss.name is fixed here, but searched",
    ),
    "representation fixed and searched": (
        "representation:\n  name: swap_axes\n  steps: 32  # HERE\nspace:\n  representation: {steps: {int: [16, 64]}}\n",
        "representation.steps is fixed here, but searched",
    ),
    "when of nothing": (
        "space:\n  miner:\n    when:\n      loss: [sup_con]  # HERE\n    choose: {none: {}}\n",
        "loss is not an earlier choice (earlier ones: none)",
    ),
    "when of a later choice": (
        "space:\n  encoder: {choose: {small_cnn: {}}}\n  miner:\n    when:\n      loss: [sup_con]  # HERE\n"
        "    choose: {none: {}}\n  loss: {choose: {sup_con: {}}}\n",
        "loss is not an earlier choice (earlier ones: encoder)",
    ),
    "when of an unknown name": (
        "space:\n  loss: {choose: {sup_con: {}}}\n  miner:\n    when: {loss: [arcface]}  # HERE\n"
        "    choose: {none: {}}\n",
        "when: loss: there is no 'arcface'",
    ),
    "when is a word": (
        "space:\n  loss: {choose: {sup_con: {}}}\n  miner:\n    when: sup_con  # HERE\n    choose: {none: {}}\n",
        "when must be a mapping",
    ),
    "when of no name": (
        "space:\n  loss: {choose: {sup_con: {}}}\n  miner:\n    when: {loss: []}  # HERE\n    choose: {none: {}}\n",
        "when: loss: at least one name is needed",
    ),
    "miner under a proxy loss": (
        "data: {dataset: ntu120}\nspace:  # HERE\n  loss: {choose: {sup_con: {}, arcface: {}}}\n"
        "  miner: {choose: {none: {}, batch_hard: {}}}\n",
        "miner.name 'batch_hard' needs a loss over tuples, not 'arcface'",
    ),
    "parameter of a branch outside it": (
        "data: {dataset: ntu120}\nspace:  # HERE\n  loss:\n    name: {choice: [sup_con, arcface]}\n"
        "    arcface: {scale: {float: [8, 64]}}\n",
        "`arcface` is set, but `name` is 'sup_con'",
    ),
    "no end to the range": (
        "data: {dataset: ntu120}\nspace:  # HERE\n  train: {gradient_clip: {float: [1, 1e400]}}\n",
        "train.gradient_clip: input should be a finite number",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_by_file_and_line(mistake: str):
    assert_told(*MISTAKES[mistake])
