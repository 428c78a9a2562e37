"""ImageNet weights: from torch's cache, by their old names, and what is said where there are none."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from support.encoders import TORCHVISION, VARIANTS, config_of

from sldml.config.encoder import EncoderConfig
from sldml.embedding.encoders import WeightsError, build_encoder, require_imagenet_weights, without_download

PRETRAINED = EncoderConfig.model_validate({"name": "resnet18", "resnet18": {"weights": "imagenet"}})
FILE = "resnet18-f37072fd.pth"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


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
