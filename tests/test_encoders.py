import io
import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision

from sldml.config import EncoderConfig
from sldml.encoders import WeightsError, build_encoder

VARIANTS: list[dict[str, Any]] = [
    {"name": "small_cnn", "small_cnn": {"width": 8}},
    {"name": "small_cnn", "small_cnn": {"width": 8, "num_blocks": 5, "dropout": 0.5}},
    {"name": "small_cnn", "small_cnn": {"width": 16, "num_blocks": 1}},
    {"name": "resnet18"},
    {"name": "resnet18", "resnet18": {"stem": "small"}},
]
PRETRAINED = EncoderConfig.model_validate({"name": "resnet18", "resnet18": {"weights": "imagenet"}})
FILE = "resnet18-f37072fd.pth"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


def test_the_variants_name_every_encoder() -> None:
    assert {variant["name"] for variant in VARIANTS} == set(EncoderConfig.names())


@pytest.mark.parametrize("size", [(25, 32), (2, 8), (32, 32)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_encoder_embeds_images_and_trains(variant: dict[str, Any], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig.model_validate({"embedding_dim": 24} | variant), (3, *size))
    images = torch.randn(4, 3, *size)
    target = torch.randn(4, 24)
    before = [parameter.detach().clone() for parameter in encoder.parameters()]
    embeddings = encoder(images)
    assert embeddings.shape == (4, 24)
    assert not torch.allclose(embeddings.norm(dim=1), torch.ones(4))
    (embeddings - target).square().mean().backward()
    torch.optim.SGD(encoder.parameters(), lr=0.1).step()
    for parameter, old in zip(encoder.parameters(), before, strict=True):
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert not torch.equal(parameter, old)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_encoder_in_evaluation_treats_each_image_alone(variant: dict[str, Any]) -> None:
    encoder = build_encoder(EncoderConfig.model_validate(variant), (3, 25, 32)).eval()
    images = torch.randn(3, 3, 25, 32)
    with torch.no_grad():
        alone = torch.cat([encoder(image.unsqueeze(0)) for image in images])
        torch.testing.assert_close(encoder(images), alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_seed_decides_the_weights(variant: dict[str, Any]) -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build_encoder(EncoderConfig.model_validate(variant), (3, 25, 32)).state_dict())
    assert all(torch.equal(first, second) for first, second in zip(*map(dict.values, states[:2]), strict=True))
    assert not all(torch.equal(first, second) for first, second in zip(*map(dict.values, states[1:]), strict=True))


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


def test_images_of_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"3 channels, but image_shape is \(1, 25, 64\)"):
        build_encoder(EncoderConfig(), (1, 25, 64))


def test_imagenet_weights_are_read_from_torchs_cache(hub: Path) -> None:
    torch.manual_seed(5)
    state = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(state, hub / FILE)
    encoder = build_encoder(PRETRAINED, (3, 64, 64))
    loaded = encoder.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items() if not name.startswith("fc."))
    assert loaded["fc.weight"].shape == (128, 512)


def test_without_a_network_one_line_says_what_to_do(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(_: object) -> None:
        raise URLError("Temporary failure in\nname resolution")

    monkeypatch.setattr(torch.hub, "urlopen", offline)
    with pytest.raises(WeightsError) as caught:
        build_encoder(PRETRAINED, (3, 64, 64))
    line = str(caught.value)
    assert "\n" not in line
    for part in ("resnet18", "not cached", "name resolution", FILE, str(hub), "encoder.resnet18.weights=none"):
        assert part in line
    assert list(hub.iterdir()) == []


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
