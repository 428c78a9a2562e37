import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import nn

from sldml.config.encoder import EncoderConfig
from sldml.embedding.encoders import (
    WeightsError,
    build_encoder,
    require_imagenet_weights,
    without_download,
)
from sldml.embedding.encoders.torchvision_networks import padded
from sldml.training.loop import recompute_activations

PRETRAINED = EncoderConfig.model_validate({"name": "resnet18", "resnet18": {"weights": "imagenet"}})
FILE = "resnet18-f37072fd.pth"
TORCHVISION = EncoderConfig.pretrained_names()
SIGNALS = {"temporal_cnn", "signal_attention"}
VARIANTS: dict[str, dict[str, Any]] = {
    "small_cnn": {"name": "small_cnn", "small_cnn": {"width": 8}},
    "small_cnn deep": {"name": "small_cnn", "small_cnn": {"width": 8, "num_blocks": 5, "dropout": 0.5}},
    "small_cnn shallow": {"name": "small_cnn", "small_cnn": {"width": 16, "num_blocks": 1}},
    "vit_tiny": {"name": "vit_tiny", "vit_tiny": {"width": 32, "num_blocks": 1, "dropout": 0.2}},
    **{name: {"name": name} for name in TORCHVISION},
    **{
        f"{name} small": {"name": name, name: {"stem": "small", "dropout": 0.3}}
        for name in (
            *("resnet18", "regnet_x_400mf", "mobilenet_v3_small", "shufflenet_v2_x0_5", "densenet121"),
            *("convnext_tiny", "swin_t"),
        )
    },
}
# One of each family: what is common to a family is not tried with each of its networks.
FAMILIES = [
    *("small_cnn", "small_cnn deep", "small_cnn shallow", "vit_tiny", "resnet18", "resnet18 small", "regnet_x_400mf"),
    *("mobilenet_v3_small small", "shufflenet_v2_x0_5", "densenet121 small", "convnext_tiny small", "swin_t"),
]
QUICK = ["small_cnn deep", "vit_tiny", "resnet18 small", "mobilenet_v3_small", "shufflenet_v2_x0_5 small"]


def config_of(variant: str, **more: Any) -> EncoderConfig:
    return EncoderConfig.model_validate({"embedding_dim": 24} | VARIANTS[variant] | more)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


def test_the_variants_name_every_encoder_of_images() -> None:
    assert {variant["name"] for variant in VARIANTS.values()} | SIGNALS == set(EncoderConfig.names())
    assert {name for name in EncoderConfig.names() if EncoderConfig(name=name).takes == "signals"} == SIGNALS
    assert len(TORCHVISION) == 21


def assert_embeds_and_trains(variant: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(config_of(variant), (3, *size))
    before = [parameter.detach().clone() for parameter in encoder.parameters()]
    embeddings = encoder(torch.randn(2, 3, *size))
    assert embeddings.shape == (2, 24)
    assert torch.isfinite(embeddings).all()
    assert not torch.allclose(embeddings.norm(dim=1), torch.ones(2))
    (embeddings - torch.randn(2, 24)).square().mean().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    torch.optim.SGD(encoder.parameters(), lr=0.1).step()
    moved = [not torch.equal(new, old) for new, old in zip(encoder.parameters(), before, strict=True)]
    assert sum(moved) > 0.8 * len(moved)


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant not in TORCHVISION])
def test_variants_embed_images_and_train(variant: str) -> None:
    assert_embeds_and_trains(variant, (32, 32))  # torchvision's by their defaults: tests/training/test_loop_names.py


@pytest.mark.parametrize("variant", FAMILIES)
def test_images_of_any_size_go_through_every_family(variant: str) -> None:
    for size in ((1, 64), (25, 48), (20, 17)):
        torch.manual_seed(0)
        encoder = build_encoder(config_of(variant), (3, *size))
        embeddings = encoder(torch.randn(2, 3, *size))
        assert embeddings.shape == (2, 24)
        assert torch.isfinite(embeddings).all()


def test_large_images_go_through() -> None:
    for variant in ("small_cnn", "vit_tiny", "mobilenet_v3_small"):
        encoder = build_encoder(config_of(variant), (3, 256, 256))
        assert encoder(torch.randn(2, 3, 256, 256)).shape == (2, 24)


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_small_stem_keeps_more_pixels(name: str) -> None:
    sizes, num_features = [], set()
    for stem in ("standard", "small"):
        config = EncoderConfig.model_validate({"name": name, name: {"stem": stem}})
        with torch.device("cpu" if name.startswith("regnet") else "meta"):  # shapes alone; a RegNet computes its own
            encoder = build_encoder(config, (3, 64, 64)).eval()
            sizes.append(encoder.features(torch.empty(1, 3, 64, 64)).shape)
        assert isinstance(encoder.projection, nn.Linear)
        num_features.add(encoder.projection.in_features)
    assert {size[1] for size in sizes} == num_features
    factor = 2 if name.startswith(("regnet", "efficientnet", "mobilenet", "convnext", "swin")) else 4
    assert sizes[1][2] == factor * sizes[0][2]
    assert sizes[1][3] == factor * sizes[0][3]


@pytest.mark.parametrize("variant", [*QUICK, "swin_t"])
def test_an_encoder_in_evaluation_treats_each_image_alone(variant: str) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(config_of(variant), (3, 25, 32)).eval()
    images = torch.randn(3, 3, 25, 32)
    with torch.no_grad():
        alone = torch.cat([encoder(image.unsqueeze(0)) for image in images])
        torch.testing.assert_close(encoder(images), alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("variant", QUICK)
def test_the_seed_decides_the_weights(variant: str) -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build_encoder(config_of(variant), (3, 25, 32)).state_dict())
    assert all(torch.equal(first, second) for first, second in zip(*map(dict.values, states[:2]), strict=True))
    assert not all(torch.equal(first, second) for first, second in zip(*map(dict.values, states[1:]), strict=True))


@pytest.mark.parametrize("variant", [*QUICK, "densenet121 small", "convnext_tiny", "swin_t"])
def test_recomputed_activations_give_the_same_gradients(variant: str) -> None:
    gradients = []
    for recomputed in (False, True):
        torch.manual_seed(0)
        encoder = build_encoder(config_of(variant), (3, 20, 32)).train()
        if recomputed:
            recompute_activations(encoder)
        torch.manual_seed(1)  # dropout, stochastic depth
        encoder(torch.randn(2, 3, 20, 32)).square().sum().backward()
        gradients.append([parameter.grad for parameter in encoder.parameters()])
    for first, second in zip(*gradients, strict=True):
        assert first is not None
        assert second is not None
        scale = float(first.abs().max()) + 1e-6
        assert torch.allclose(first, second, rtol=1e-3, atol=1e-3 * scale)


@pytest.mark.parametrize("variant", ["small_cnn", "vit_tiny", "mobilenet_v3_small", "swin_t"])
def test_bfloat16_autocast_gives_about_the_same(variant: str) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(config_of(variant, pooling={"name": "gem"}), (3, 20, 32)).eval()
    images = torch.randn(4, 3, 20, 32)
    with torch.no_grad():
        exact = encoder(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.allclose(encoder(images).float(), exact, atol=0.1 * float(exact.abs().max()))


def test_torchvisions_own_mean_and_classifier_are_what_pooling_and_projection_are() -> None:
    """With a classifier for its projection an encoder is torchvision's network again."""
    for name in ("resnet18", "regnet_x_400mf", "mobilenet_v2", "shufflenet_v2_x0_5", "densenet121"):
        torch.manual_seed(0)
        original = torchvision.models.get_model(name).eval()
        torch.manual_seed(0)
        encoder = build_encoder(EncoderConfig.model_validate({"name": name, "embedding_dim": 1000}), (3, 64, 64)).eval()
        classifiers = [module for module in original.modules() if isinstance(module, nn.Linear)]
        encoder.projection = classifiers[-1]
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            torch.testing.assert_close(encoder(images), original(images), atol=1e-4, rtol=1e-4)


def test_images_are_padded_below_and_to_the_right() -> None:
    images = torch.arange(1.0, 7.0).reshape(1, 1, 2, 3)
    assert padded(images) is images
    expected = torch.tensor([[1.0, 2, 3, 0], [4, 5, 6, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert torch.equal(padded(images, patch_px=4)[0, 0], expected)
    assert padded(images, patch_px=2, least_px=8).shape == (1, 1, 8, 8)
    assert padded(torch.ones(1, 3, 9, 16), patch_px=4, least_px=8).shape == (1, 3, 12, 16)


def test_a_small_cnn_learns_to_tell_classes_apart() -> None:
    torch.manual_seed(0)
    config = EncoderConfig.model_validate({"embedding_dim": 4, "small_cnn": {"width": 8, "num_blocks": 2}})
    encoder = build_encoder(config, (3, 10, 32))
    labels = torch.arange(4).repeat(8)
    # Four classes: the frequency of the movement, at a random phase.
    phase = 6.28 * torch.rand(32, 1, 10, 1)
    time = torch.linspace(0, 6.28, 32)
    images = torch.sin(time * (labels.view(-1, 1, 1, 1) + 1) + phase).expand(-1, 3, -1, -1)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-2)
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(encoder(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2


def test_what_has_other_channels_or_axes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3 channels, but their shape is \(1, 25, 64\)"):
        build_encoder(EncoderConfig(), (1, 25, 64))
    with pytest.raises(ValueError, match=r"3 axes, but the signals' shape is \(64, 25, 4\)"):
        build_encoder(EncoderConfig(name="temporal_cnn"), (64, 25, 4))


# ---------------------------------------------------------------------------------------------- ImageNet weights


def test_imagenet_weights_are_read_from_torchs_cache(hub: Path) -> None:
    torch.manual_seed(5)
    state = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(state, hub / FILE)
    require_imagenet_weights("resnet18")
    loaded = build_encoder(PRETRAINED, (3, 64, 64)).state_dict()
    for name, value in state.items():
        assert name.startswith("fc.") or torch.equal(loaded[f"network.{name}"], value)
    assert loaded["projection.weight"].shape == (128, 512)


def test_a_small_stem_over_imagenet_weights_is_fresh_and_the_rest_is_not(hub: Path) -> None:
    torch.manual_seed(5)
    state = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(state, hub / FILE)
    options = {"name": "resnet18", "resnet18": {"weights": "imagenet", "stem": "small"}}
    loaded = build_encoder(EncoderConfig.model_validate(options), (3, 64, 64)).state_dict()
    assert loaded["network.conv1.weight"].shape == (64, 3, 3, 3)
    assert torch.equal(loaded["network.layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])


def test_the_old_names_in_densenets_file_are_understood(hub: Path) -> None:
    state = torchvision.models.densenet121(weights=None).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", name): value for name, value in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, hub / "densenet121-a639ec97.pth")
    config = EncoderConfig.model_validate({"name": "densenet121", "densenet121": {"weights": "imagenet"}})
    loaded = build_encoder(config, (3, 64, 64)).state_dict()
    name = "features.denseblock4.denselayer16.conv2.weight"
    assert torch.equal(loaded[f"network.{name}"], state[name])
    assert torch.equal(loaded["stem.conv0.weight"], state["features.conv0.weight"])


def test_pretrained_places_of_a_vision_transformer_are_resampled(hub: Path) -> None:
    network = torchvision.models.vit_b_32(weights=None)
    rows, columns = torch.meshgrid(torch.arange(7.0), torch.arange(7.0), indexing="ij")
    places = torch.zeros(1, 50, 768)
    places[0, 0], places[0, 1:, 0], places[0, 1:, 1] = 9.0, rows.flatten(), columns.flatten()
    torch.save(network.state_dict() | {"encoder.pos_embedding": places}, hub / "vit_b_32-d86f8d99.pth")
    config = EncoderConfig.model_validate({"name": "vit_b_32", "vit_b_32": {"weights": "imagenet"}})
    encoder = build_encoder(config, (3, 90, 200))  # padded to 3 × 7 patches
    found = encoder.state_dict()["network.encoder.pos_embedding"]
    assert found.shape == (1, 22, 768)
    assert torch.equal(found[0, 0], places[0, 0])
    assert found[0, 1:, 0].reshape(3, 7)[:, 0].tolist() == pytest.approx([0.7, 3.0, 5.3], abs=0.2)
    assert found[0, 1:, 1].reshape(3, 7)[1].tolist() == pytest.approx(range(7), abs=1e-4)


def test_weights_come_back_without_a_download(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a training with ImageNet weights saved is loaded where there is neither cache nor network."""
    monkeypatch.setattr(torch.hub, "urlopen", lambda _: pytest.fail("weights are fetched"))
    images = torch.randn(2, 3, 20, 32)
    for variant in ("small_cnn", "resnet18 small", "mobilenet_v3_small", "swin_t", "vit_tiny"):
        torch.manual_seed(0)
        trained = build_encoder(config_of(variant, pooling={"name": "gem"}, projection="mlp"), (3, 20, 32)).eval()
        name = VARIANTS[variant]["name"]
        options = VARIANTS[variant].get(name, {}) | ({"weights": "imagenet"} if name in TORCHVISION else {})
        config = config_of(variant, pooling={"name": "gem"}, projection="mlp", **{name: options})
        fresh = build_encoder(without_download(config), (3, 20, 32)).eval()
        fresh.load_state_dict(trained.state_dict())
        with torch.no_grad():
            assert torch.equal(fresh(images), trained(images))


def offline(_: object) -> None:
    raise URLError("Temporary failure in\nname resolution")


def test_without_a_network_one_line_says_what_to_do(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    with pytest.raises(WeightsError) as caught:
        build_encoder(PRETRAINED, (3, 64, 64))
    line = str(caught.value)
    assert "\n" not in line
    for part in ("resnet18", "not cached", "name resolution", FILE, str(hub), "encoder.resnet18.weights=none"):
        assert part in line
    assert list(hub.iterdir()) == []


@pytest.mark.parametrize("name", TORCHVISION)
def test_there_are_imagenet_weights_for_each_of_torchvisions(
    name: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    with pytest.raises(WeightsError, match=rf"of {name} are not cached .*set encoder\.{name}\.weights=none"):
        require_imagenet_weights(name)


class _Response(io.BytesIO):
    """A server's answer that promises more than it holds, or holds something else."""

    def info(self) -> Any:
        return type("Headers", (), {"get_all": staticmethod(lambda _: ["1000000"])})()


def test_a_broken_download_leaves_nothing_behind(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "urlopen", lambda _: _Response(b"half a file"))
    with pytest.raises(WeightsError, match="invalid hash value"):
        build_encoder(PRETRAINED, (3, 64, 64))
    assert list(hub.iterdir()) == []


def test_a_damaged_file_is_named(hub: Path) -> None:
    (hub / FILE).write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=rf"cannot be read .*remove {re.escape(str(hub / FILE))}"):
        build_encoder(PRETRAINED, (3, 64, 64))


class _Harmful:
    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was executed",)


def test_a_weights_file_executes_nothing(hub: Path) -> None:
    torch.save({"conv1.weight": _Harmful()}, hub / FILE)
    with pytest.raises(WeightsError, match="cannot be read"):
        build_encoder(PRETRAINED, (3, 64, 64))


def test_a_narrow_small_cnn_trains_on_large_images() -> None:
    # In a process of its own: where the 1 x 1 shortcut had a stride of 2, this ended with a segmentation fault.
    code = """
import torch
from sldml.config.encoder import EncoderConfig
from sldml.embedding.encoders import build_encoder
torch.set_num_threads(1)
for side in (112, 128):
    encoder = build_encoder(EncoderConfig.model_validate({"small_cnn": {"width": 8}}), (3, side, side))
    for _ in range(2):
        encoder(torch.randn(16, 3, side, side)).square().mean().backward()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
