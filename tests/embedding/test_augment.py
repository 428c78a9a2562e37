import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sldml.config.representation import AugmentConfig
from sldml.embedding.augment import augment, random_positions
from sldml.embedding.normalize import present_bodies, split_bodies
from sldml.recordings import KINECT_V2, SKELETONS, Layout

ROOT = SKELETONS["kinect_v2"].root
BODIES = Layout(KINECT_V2, 2)
FUSED = Layout(KINECT_V2, 2, {"acceleration": 8.0})
SENSORS_ONLY = Layout(None, 0, {"acceleration": 8.0, "rotation": 1000.0})
PARTS = {"time_warp": 0.6, "time_crop": 0.4, "rotation_deg": 90.0, "scale": 0.3, "noise": 0.1}
SETTINGS = [*({part: value} for part, value in PARTS.items()), PARTS]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_signals(layout: Layout = FUSED, num_recordings: int = 6, frames: int = 20) -> Tensor:
    signals = torch.randn(num_recordings, frames, layout.num_rows, 3, generator=generator(1))
    if layout.skeleton is not None:  # as centred signals are
        signals[:, :, : layout.body_rows] -= signals[:, :1, ROOT, None].clone()
    return signals


def test_all_off_returns_the_input_and_draws_nothing() -> None:
    signals, drawn_from = random_signals(), generator()
    before = drawn_from.get_state()
    assert augment(signals, AugmentConfig(), FUSED, drawn_from) is signals
    assert torch.equal(drawn_from.get_state(), before)


@pytest.mark.parametrize("layout", [FUSED, BODIES, SENSORS_ONLY])
@pytest.mark.parametrize("parts", SETTINGS)
def test_the_generator_decides_everything(parts: dict[str, float], layout: Layout) -> None:
    signals, config = random_signals(layout), AugmentConfig.model_validate(parts)
    copy = signals.clone()
    torch.manual_seed(0)
    first = augment(signals, config, layout, generator(3))
    torch.manual_seed(1)
    assert torch.equal(augment(signals, config, layout, generator(3)), first)
    assert torch.equal(signals, copy)
    assert first.shape == signals.shape
    assert torch.isfinite(first).all()
    if layout.skeleton is not None or "rotation_deg" not in parts or len(parts) > 1:
        assert not torch.equal(augment(signals, config, layout, generator(4)), first)
        # Recordings that are alike get changes of their own.
        alike = augment(signals[:1].expand(2, -1, -1, -1), config, layout, generator(3))
        assert not torch.allclose(alike[0], alike[1])


@pytest.mark.parametrize("parts", SETTINGS)
def test_how_much_is_drawn_does_not_depend_on_the_signals(parts: dict[str, float]) -> None:
    config = AugmentConfig.model_validate(parts)
    drawn_for_some, drawn_for_none = generator(5), generator(5)
    augment(random_signals(), config, FUSED, drawn_for_some)
    augment(torch.zeros_like(random_signals()), config, FUSED, drawn_for_none)
    assert torch.equal(drawn_for_some.get_state(), drawn_for_none.get_state())


@pytest.mark.parametrize("parts", SETTINGS)
def test_absent_bodies_stay_zero(parts: dict[str, float]) -> None:
    signals = random_signals()
    bodies = split_bodies(signals, FUSED)
    bodies[:, :, 1] = 0
    bodies[0, :, 0] = 0
    after = split_bodies(augment(signals, AugmentConfig.model_validate(parts), FUSED, generator()), FUSED)
    assert after[:, :, 1].abs().max() == 0
    assert after[0, :, 0].abs().max() == 0
    assert present_bodies(after)[1:, :, 0].all()


def test_a_body_that_leaves_is_there_or_not_but_never_shrunk() -> None:
    signals = torch.ones(8, 20, BODIES.num_rows, 3)
    split_bodies(signals, BODIES)[:, 10:, 1] = 0
    config = AugmentConfig(time_warp=0.6, time_crop=0.4)
    second = split_bodies(augment(signals, config, BODIES, generator()), BODIES)[:, :, 1]
    near = torch.isclose(second, torch.ones_like(second))
    assert ((second == 0) | near).all()
    assert near.any()
    assert (second == 0).any()


def test_rotation_keeps_distances_heights_and_sensors_and_stays_within_its_limit() -> None:
    signals = random_signals(num_recordings=200)
    after = augment(signals, AugmentConfig(rotation_deg=30.0), FUSED, generator())
    assert torch.equal(after[:, :, FUSED.body_rows :], signals[:, :, FUSED.body_rows :])
    torch.testing.assert_close(after[..., 1], signals[..., 1])
    first, last = signals[:, 0, : FUSED.body_rows], after[:, 0, : FUSED.body_rows]
    mode = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(first, first, compute_mode=mode)
    torch.testing.assert_close(torch.cdist(last, last, compute_mode=mode), distances, atol=1e-4, rtol=1e-4)
    joint = slice(4, 5)
    turned = torch.atan2(last[:, joint, 2], last[:, joint, 0])
    turned = torch.rad2deg(turned - torch.atan2(first[:, joint, 2], first[:, joint, 0]))
    turned = (turned + 180) % 360 - 180
    assert turned.abs().max() <= 30.01
    # Uniform on ±30°: some of 200 lie near both limits.
    assert turned.min() < -25
    assert turned.max() > 25


def test_a_body_that_is_not_centred_turns_and_grows_where_it_stands() -> None:
    signals = random_signals() + 3
    after = augment(signals, AugmentConfig(rotation_deg=90.0, scale=0.5), FUSED, generator())
    torch.testing.assert_close(after[:, 0, ROOT], signals[:, 0, ROOT])


def test_scale_is_one_factor_for_bodies_and_sensors_within_its_limit() -> None:
    signals = random_signals(num_recordings=200)
    after = augment(signals, AugmentConfig(scale=0.25), FUSED, generator())
    factor = after[:, 0, -1, 0] / signals[:, 0, -1, 0]
    torch.testing.assert_close(after, signals * factor.view(-1, 1, 1, 1), atol=1e-4, rtol=1e-4)
    assert 0.7499 <= factor.min() < 0.78
    assert 1.22 < factor.max() <= 1.2501


def test_noise_has_its_standard_deviation_on_bodies_and_sensors() -> None:
    signals = random_signals(num_recordings=40)
    noise = augment(signals, AugmentConfig(noise=0.2), FUSED, generator()) - signals
    assert noise[:, :, :50].std() == pytest.approx(0.2, rel=0.02)
    assert noise[:, :, 50:].std() == pytest.approx(0.2, rel=0.05)
    assert noise.mean() == pytest.approx(0.0, abs=2e-3)


@given(strength=st.floats(0.01, 0.9), seed=st.integers(0, 10_000), frames=st.integers(2, 100))
@settings(max_examples=40, deadline=None)
def test_a_warp_keeps_both_ends_and_the_order(strength: float, seed: int, frames: int) -> None:
    signals = torch.zeros(16, frames, SENSORS_ONLY.num_rows, 3)
    positions = random_positions(signals, AugmentConfig(time_warp=strength), generator(seed))
    torch.testing.assert_close(positions[:, 0], torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(positions[:, -1], torch.full((16,), frames - 1.0), atol=1e-4, rtol=1e-5)
    speed = positions.diff(dim=1)
    assert (speed >= 1 - strength - 1e-3).all()
    assert (speed <= 1 + strength + 1e-3).all()


def test_a_strong_warp_changes_speed_noticeably() -> None:
    signals = torch.zeros(500, 64, SENSORS_ONLY.num_rows, 3)
    speed = random_positions(signals, AugmentConfig(time_warp=0.9), generator()).diff(dim=1)
    assert speed.min() < 0.3
    assert speed.max() > 1.7


@given(share=st.floats(0.01, 0.8), seed=st.integers(0, 10_000), warp=st.sampled_from([0.0, 0.5]))
@settings(max_examples=40, deadline=None)
def test_a_crop_keeps_at_least_its_share_in_order(share: float, seed: int, warp: float) -> None:
    signals = torch.zeros(16, 30, SENSORS_ONLY.num_rows, 3)
    config = AugmentConfig(time_crop=share, time_warp=warp)
    positions = random_positions(signals, config, generator(seed))
    assert (positions.diff(dim=1) > 0).all()
    assert positions.min() >= 0
    assert positions.max() <= 29
    assert (positions[:, -1] - positions[:, 0] >= 29 * (1 - share) - 1e-3).all()


def test_crops_reach_both_ends() -> None:
    signals = torch.zeros(500, 30, SENSORS_ONLY.num_rows, 3)
    positions = random_positions(signals, AugmentConfig(time_crop=0.5), generator())
    assert positions[:, 0].max() > 10
    assert positions[:, -1].min() < 19
    assert positions[:, 0].min() < 0.5
    assert positions[:, -1].max() > 28.5


def test_values_are_read_linearly_at_the_positions() -> None:
    # A ramp read at p is p, whatever the warp.
    signals = torch.arange(12.0).view(1, -1, 1, 1).expand(3, -1, SENSORS_ONLY.num_rows, 3).contiguous()
    config = AugmentConfig(time_warp=0.7, time_crop=0.5)
    positions = random_positions(signals, config, generator(2))
    after = augment(signals, config, SENSORS_ONLY, generator(2))
    torch.testing.assert_close(after, positions[:, :, None, None].expand_as(after))


def test_the_global_generator_serves_where_none_is_given() -> None:
    signals, config = random_signals(), AugmentConfig.model_validate(PARTS)
    torch.manual_seed(7)
    first = augment(signals, config, FUSED)
    torch.manual_seed(7)
    assert torch.equal(augment(signals, config, FUSED, None), first)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cpu_generator_gives_the_same_on_a_gpu() -> None:
    signals, config = random_signals(), AugmentConfig.model_validate(PARTS)
    on_gpu = augment(signals.cuda(), config, FUSED, generator())
    torch.testing.assert_close(on_gpu.cpu(), augment(signals, config, FUSED, generator()), atol=1e-4, rtol=1e-4)
