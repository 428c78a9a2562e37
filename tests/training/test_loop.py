import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from support.small import assert_same_state, frames_of, subset_of, trial_config
from torch import Tensor, nn

from sldml.config.encoder import EncoderConfig
from sldml.config.trial import TrialConfig
from sldml.embedding.embed import encoder_input
from sldml.embedding.encoders import build_encoder
from sldml.embedding.view import View
from sldml.prepared.batches import Frames
from sldml.prepared.prepared_set import PreparedSet
from sldml.protocols.split import Split
from sldml.recordings import KINECT_V2, Layout
from sldml.training.loop import DivergedError, EpochStats, Training, batches, recompute_activations

AUGMENT = {"rotation_deg": 60.0, "scale": 0.2, "noise": 0.05, "time_warp": 0.4, "time_crop": 0.2}
CONFIGS = {
    "triplets, miner, head, dropout, augmentation, cosine": trial_config(
        loss={"name": "triplet_margin"},
        miner={"name": "batch_hard"},
        head={"weight": 0.5, "label_smoothing": 0.1},
        encoder={"small_cnn": {"dropout": 0.4}},
        augment=AUGMENT,
        schedule={"name": "cosine", "cosine": {"warmup_epochs": 2.0}},
    ),
    "arcface, rmsprop with momentum, steps, clipping": trial_config(
        loss={"name": "arcface"},
        augment=AUGMENT,
        optimizer={"name": "rmsprop", "rmsprop": {"momentum": 0.9}},
        schedule={"name": "step", "step": {"every_epochs": 1, "gamma": 0.5}},
        train={"gradient_clip": 0.1, "min_steps_per_epoch": 6},
    ),
    "proxy anchor, head, constant": trial_config(
        loss={"name": "proxy_anchor"}, head={"weight": 0.3}, schedule={"name": "constant"}
    ),
}
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


@pytest.fixture
def start(made_split: Split, made_frames: Frames) -> Any:
    """Begin a training on the made recordings."""

    def begin(config: TrialConfig) -> Training:
        return Training(config, View(made_frames, made_split.development.train))

    return begin


def numbers(stats: EpochStats) -> tuple[float, ...]:
    """What no clock decides."""
    return stats.loss, stats.metric_loss, stats.head_loss, stats.lr, stats.num_images


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


# ------------------------------------------------------------------------------------------------- exactness


@each_config
def test_a_resumed_training_is_the_uninterrupted_one(config: TrialConfig, start: Any) -> None:
    whole = start(config)
    expected = [numbers(whole.run_epoch()) for _ in range(4)]

    first = start(config)
    found = [numbers(first.run_epoch()) for _ in range(2)]
    saved = through_a_file(first.state_dict())
    first.run_epoch()  # an epoch that the checkpoint lacks
    torch.manual_seed(99)
    torch.rand(7)
    second = start(config)
    second.load_state_dict(saved)
    assert second.epoch == 2
    found += [numbers(second.run_epoch()) for _ in range(2)]

    assert found == expected
    assert_same_state(second.state_dict(), whole.state_dict())


@each_config
def test_the_same_configuration_gives_the_same_and_another_seed_another(config: TrialConfig, start: Any) -> None:
    def train(seed: int) -> tuple[list[tuple[float, ...]], dict[str, Any]]:
        training = start(config.model_copy(update={"seed": seed}))
        return [numbers(training.run_epoch()) for _ in range(2)], training.state_dict()

    first, state = train(0)
    torch.manual_seed(77)
    again, same = train(0)
    assert again == first
    assert_same_state(same, state)
    other, _ = train(1)
    assert all(a[0] != b[0] for a, b in zip(first, other, strict=True))


def test_an_epochs_numbers(start: Any) -> None:
    training = start(trial_config(batch={"num_classes": 16, "samples_per_class": 4}))
    assert training.batch_size == 20  # there are five classes only
    assert training.steps_per_epoch == 1  # 25 recordings
    assert start(trial_config()).steps_per_epoch == 4  # 25 / 6
    assert start(trial_config(train={"min_steps_per_epoch": 9})).steps_per_epoch == 9
    stats = training.run_epoch()
    assert stats.num_images == 20
    assert stats.data_s > 0
    assert stats.step_s > 0
    assert training.epoch == 1


# ------------------------------------------------------------------------------------------------------ a step


@pytest.mark.parametrize(
    ("loss", "weight"), [("multi_similarity", 0.0), ("multi_similarity", 0.3), ("arcface", 0.8), ("sup_con", 1.0)]
)
def test_the_gradient_is_that_of_loss_and_head_by_weight(
    loss: str, weight: float, start: Any, made_set: PreparedSet, made_split: Split, made_frames: Frames
) -> None:
    config = trial_config(loss={"name": loss}, head={"weight": weight, "label_smoothing": 0.1}, augment=AUGMENT)
    training = start(config)
    training.steps_per_epoch = 1
    encoder, objective = copy.deepcopy((training.encoder, training.objectives[0]))
    head, metric_loss = objective.head, objective.loss

    train = made_split.development.train
    members = [torch.from_numpy(np.flatnonzero(train.labels == c)) for c in range(len(train.classes))]
    generator = torch.Generator().manual_seed(config.seed)
    (index,) = batches(members, 1, config.batch, generator)
    labels = torch.from_numpy(train.labels[index])
    offsets, lengths = torch.from_numpy(train.offsets[index]), torch.from_numpy(train.lengths[index])
    images = encoder_input(
        made_frames.gather(offsets, lengths, 16),
        config.normalize,
        config.representation,
        made_set.layout,
        config.augment,
        generator,
    )
    embeddings = encoder(images)
    metric = metric_loss(embeddings, labels)
    cross_entropy = torch.zeros(())
    if head is not None:
        cross_entropy = nn.functional.cross_entropy(head(embeddings), labels, label_smoothing=0.1)
    total = (1 - weight) * metric + weight * cross_entropy
    total.backward()

    stats = training.run_epoch()
    assert (stats.loss, stats.metric_loss) == pytest.approx((total.item(), metric.item()), rel=1e-5)
    assert (stats.head_loss > 0) == (weight > 0)
    assert stats.head_loss == pytest.approx(cross_entropy.item(), rel=1e-5)
    expected = [p.grad for module in (encoder, head, metric_loss) if module is not None for p in module.parameters()]
    modules = (training.encoder, training.objectives[0].head, training.objectives[0].loss)
    found = [p.grad for module in modules if module is not None for p in module.parameters()]
    assert len(found) == len(expected)
    for ours, naive in zip(found, expected, strict=True):
        assert torch.allclose(ours, naive, rtol=1e-3, atol=1e-6)


def test_without_weight_there_is_no_head(start: Any) -> None:
    assert start(trial_config()).objectives[0].head is None
    head = start(trial_config(head={"weight": 0.1})).objectives[0].head
    assert head[-1].weight.shape == (5, 8)


@pytest.mark.parametrize("loss", ["arcface", "proxy_anchor"])
def test_the_losss_own_weights_move_at_their_own_rate(loss: str, start: Any) -> None:
    moved = {}
    for proxy_lr in (1e-3, 1e-1):
        config = {"name": loss, "proxy_lr": proxy_lr}
        training = start(trial_config(loss=config, train={"gradient_clip": 1e-12}))
        before = [p.detach().clone() for p in training.objectives[0].loss.parameters()]
        training.run_epoch()
        moved[proxy_lr] = max(
            (p - b).abs().max().item() for p, b in zip(training.objectives[0].loss.parameters(), before, strict=True)
        )
    assert moved[1e-3] == pytest.approx(4 * 1e-3, rel=0.5)  # four steps of Adam, each of about its rate
    assert moved[1e-1] > 20 * moved[1e-3]
    assert start(trial_config()).proxy_optimizer is None


def test_the_schedule_is_stepped_once_a_step(start: Any) -> None:
    config = trial_config(optimizer={"lr": 0.01}, schedule={"name": "step", "step": {"every_epochs": 2, "gamma": 0.1}})
    training = start(config)
    rates = [training.run_epoch().lr for _ in range(5)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001])


def test_gradients_are_clipped(start: Any) -> None:
    training = start(trial_config(train={"gradient_clip": 0.01}))
    training.run_epoch()
    norm = torch.stack([p.grad.norm() for p in training.encoder.parameters()]).norm()
    assert norm.item() == pytest.approx(0.01, rel=1e-3)


# -------------------------------------------------------------------------------------------------- divergence


@pytest.mark.parametrize("head", [0.0, 0.5])
@pytest.mark.parametrize(
    ("loss", "miner"),
    [
        *((loss, "none") for loss in ("triplet_margin", "contrastive", "sup_con", "nt_xent", "multi_similarity")),
        *((loss, "none") for loss in ("arcface", "proxy_anchor")),
        *((loss, "triplet_margin") for loss in ("triplet_margin", "contrastive", "nt_xent")),
        *((loss, "multi_similarity") for loss in ("triplet_margin", "multi_similarity", "sup_con")),
        *((loss, "batch_hard") for loss in ("triplet_margin", "contrastive")),
    ],
)
def test_what_is_not_finite_ends_in_divergence_and_nothing_else(loss: str, miner: str, head: float, start: Any) -> None:
    training = start(trial_config(loss={"name": loss}, miner={"name": miner}, head={"weight": head}))
    training.run_epoch()
    with torch.no_grad():
        next(training.encoder.parameters()).fill_(torch.nan)
    with pytest.raises(DivergedError, match="not finite in epoch 2"):
        training.run_epoch()


# ---------------------------------------------------------------------------------------- activations twice

ENCODERS = [
    {"name": "small_cnn", "embedding_dim": 8, "small_cnn": {"width": 8, "num_blocks": 2, "dropout": 0.5}},
    {"name": "resnet18", "embedding_dim": 8, "resnet18": {"stem": "standard"}},
    {"name": "resnet18", "embedding_dim": 8, "resnet18": {"stem": "small"}},
]


@pytest.mark.parametrize("encoder", ENCODERS, ids=["small_cnn", "resnet18", "resnet18 small stem"])
def test_recomputed_activations_change_no_number(encoder: dict[str, Any]) -> None:
    torch.manual_seed(0)
    plain = build_encoder(EncoderConfig.model_validate(encoder), (3, 32, 32))
    thrifty = copy.deepcopy(plain)
    recompute_activations(thrifty)
    images = torch.randn(4, 3, 32, 32)
    outputs = []
    for network in (plain, thrifty):
        network.train()
        for step in range(2):
            torch.manual_seed(step)  # dropout
            output = network(images)
            output.square().sum().backward()
        outputs.append(output)
    assert torch.equal(outputs[0], outputs[1])
    for ours, theirs in zip(thrifty.parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)  # type: ignore[arg-type]
    state = plain.state_dict()
    assert thrifty.state_dict().keys() == state.keys()
    for name, value in thrifty.state_dict().items():
        if not name.endswith("num_batches_tracked"):  # only a momentum of None would read it
            assert torch.equal(value, state[name]), name
    with torch.no_grad():
        assert torch.equal(thrifty.eval()(images), plain.eval()(images))


@pytest.mark.parametrize("encoder", ENCODERS, ids=["small_cnn", "resnet18", "resnet18 small stem"])
def test_recomputing_keeps_less(encoder: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = build_encoder(EncoderConfig.model_validate(encoder), (3, 32, 32)).train()

    def kept() -> int:
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            network(torch.randn(4, 3, 32, 32))
        return sum(sizes)

    before = kept()
    recompute_activations(network)
    assert kept() < 0.8 * before


def test_a_step_that_does_not_fit_is_taken_again_over_the_whole_batch(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = trial_config(head={"weight": 0.5})
    expected = start(config)
    training = start(config)
    step, failures = training._step, [torch.cuda.OutOfMemoryError()]

    def once_too_large(images: Tensor, labels: Tensor) -> Tensor:
        assert len(images) == training.batch_size
        if failures:
            raise failures.pop()
        result: Tensor = step(images, labels)
        return result

    monkeypatch.setattr(training, "_step", once_too_large)
    thrifty: list[nn.Module] = []
    monkeypatch.setattr(
        "sldml.training.loop.recompute_activations",
        lambda module: thrifty.append(module) or recompute_activations(module),
    )
    assert numbers(training.run_epoch()) == pytest.approx(numbers(expected.run_epoch()), rel=1e-5)
    assert not failures
    assert thrifty == [training.encoder]
    failures += [torch.cuda.OutOfMemoryError(), torch.cuda.OutOfMemoryError()]
    with pytest.raises(torch.cuda.OutOfMemoryError):
        training.run_epoch()


def test_a_tiny_problem_by_its_classes() -> None:
    """Two classes that differ in one joint's height are told apart after a few epochs."""
    rng = np.random.default_rng(0)
    values = [rng.normal(scale=0.1, size=(6 + i, 25, 3)).astype(np.float32) for i in range(12)]
    for i, value in enumerate(values):
        value[:, 4, 1] += 2.0 * (i % 2)
    train = subset_of([i % 2 for i in range(12)], [len(v) for v in values])
    config = trial_config(
        loss={"name": "nt_xent"},
        head={"weight": 0.5},
        normalize={"scale": "none"},
        optimizer={"lr": 0.01},
        train={"min_steps_per_epoch": 20, "max_epochs": 4},
    )
    training = Training(config, View(frames_of(values, Layout(KINECT_V2, 1)), train))
    assert training.batch_size == 4
    first = training.run_epoch()
    for _ in range(3):
        last = training.run_epoch()
    assert last.head_loss < 0.3 * first.head_loss


# ---------------------------------------------------------------------------------------------------- ensembles


@pytest.mark.parametrize("loss", ["multi_similarity", "proxy_anchor"])
def test_each_member_is_trained_as_it_would_be_alone(loss: str, start: Any) -> None:
    def config(members: int) -> TrialConfig:
        encoder = {"members": members, "small_cnn": {"width": 8, "num_blocks": 1}, "embedding_dim": 8}
        return trial_config(loss={"name": loss}, head={"weight": 0.3}, encoder=encoder)

    together, alone = start(config(2)), start(config(1))
    second = together.encoder.members[1]
    alone.encoder.load_state_dict(second.state_dict())
    alone.objectives[0].load_state_dict(together.objectives[1].state_dict())
    for training in (together, alone):
        training._generator.manual_seed(5)
        training.run_epoch()
    for ours, expected in zip(second.parameters(), alone.encoder.parameters(), strict=True):
        assert torch.allclose(ours, expected, atol=1e-6)
    first = next(iter(together.encoder.members[0].parameters()))
    assert not torch.allclose(first, next(iter(second.parameters())))


def test_an_ensemble_goes_on_where_it_was(start: Any) -> None:
    config = trial_config(encoder={"members": 2, "small_cnn": {"width": 8, "num_blocks": 1}}, head={"weight": 0.3})
    whole, part = start(config), start(config)
    whole.run_epoch()
    part.run_epoch()
    resumed = start(config)
    resumed.load_state_dict(copy.deepcopy(part.state_dict()))
    whole.run_epoch()
    resumed.run_epoch()
    assert_same_state(whole.state_dict(), resumed.state_dict())
