import pytest
import torch
from support.encoders import TORCHVISION, VARIANTS, config_of

from sldml.config.encoder import EncoderConfig
from sldml.embedding.encoders import build_encoder
from sldml.training.loop import recompute_activations

PRETRAINED = EncoderConfig.model_validate({"name": "resnet18", "resnet18": {"weights": "imagenet"}})
FILE = "resnet18-f37072fd.pth"
SIGNALS = {"temporal_cnn", "signal_attention"}
# One of each family: what is common to a family is not tried with each of its networks.
FAMILIES = [
    *("small_cnn", "small_cnn deep", "small_cnn shallow", "vit_tiny", "resnet18", "resnet18 small", "regnet_x_400mf"),
    *("mobilenet_v3_small small", "shufflenet_v2_x0_5", "densenet121 small", "convnext_tiny small", "swin_t"),
]
QUICK = ["small_cnn deep", "vit_tiny", "resnet18 small", "mobilenet_v3_small", "shufflenet_v2_x0_5 small"]


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


def test_what_has_other_channels_or_axes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3 channels, but their shape is \(1, 25, 64\)"):
        build_encoder(EncoderConfig(), (1, 25, 64))
    with pytest.raises(ValueError, match=r"3 axes, but the signals' shape is \(64, 25, 4\)"):
        build_encoder(EncoderConfig(name="temporal_cnn"), (64, 25, 4))
