# SPDX-License-Identifier: MIT
"""Every service calibration on the virtual scanner: a fault of known size is found; without a phantom nothing is."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.service import (
    B0MapStep,
    B1MapStep,
    EddyCurrentsStep,
    FlipCheckStep,
    GradientDelayStep,
    GradientScaleStep,
    ServicePhantom,
    ShimByMapStep,
    service_steps,
)
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import Quantity
from isocenter.domain.errors import ScanAborted
from isocenter.domain.scanner import nominal_calibration
from isocenter.domain.scenario import (
    CoilFaults,
    EddyTerm,
    GradientFaults,
    Interference,
    InterferenceKind,
    MagnetFaults,
    Motion,
    MotionStep,
    ReceiverFaults,
)
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.virtual.phantoms.simple import SPHERE_RADIUS_M
from isocenter.virtual.physics.fields import transmit_scale

MEASURING = [step for step in service_steps() if step.name != "gradient_currents"]
UNEVEN = MagnetFaults(frequency_offset_hz=300, harmonics_hz={"x": 300.0, "z2": 200.0})


def value_of(result, quantity=None):
    values = [one for one in result.values if quantity is None or one.quantity is quantity]
    assert len(values) == 1, (result.verdict, result.text)
    return np.array(values[0].value)


def assert_refused(result, *words):
    assert result.verdict is Verdict.FAIL, result.text
    assert not result.values
    assert result.remedy.endswith("The old value stays in use.")
    for word in words:
        assert word in f"{result.text} {result.remedy}"


def test_strength_and_direction_are_found_in_an_uneven_field(service_bench, off_centre):
    phantom, motion = off_centre
    faults = GradientFaults(scale=(1.05, 0.97, 1.0), delay_s=(10e-6, 0.0, -6e-6))
    bench = service_bench(motion=motion, gradients=faults, magnet=UNEVEN)
    result = bench.run(GradientScaleStep(phantom))
    assert result.verdict is Verdict.PASS, result.text
    assert "Directions and signs are right" in result.text
    assert value_of(result, Quantity.GRADIENT_SCALE) == pytest.approx(faults.scale, rel=0.005)
    assert np.all(np.array(result.values[0].sd) < 0.01)
    assert result.values[0].raw == "service/1"
    assert bench.told[1].plots[0].curves[0].is_points
    assert bench.calibrations[1].gradient_scale == result.values[0].value  # it was tried out before it was believed


def test_a_scale_in_use_is_built_upon(service_bench, off_centre):
    phantom, motion = off_centre
    scanner = load_scanner("osii-one")
    used = replace(nominal_calibration(scanner), gradient_scale=(1.03, 1.0, 1.0))
    bench = service_bench(motion=motion, gradients=GradientFaults(scale=(1.05, 1.0, 1.0)), calibration=used)
    assert value_of(bench.run(GradientScaleStep(phantom)))[0] == pytest.approx(1.05, rel=0.005)


@pytest.mark.parametrize(
    ("scale", "swap", "words"),
    [
        ((-1.0, 1.0, 1.0), False, ("channel x drives -X, the hardware file says +X", "Do not scan patients")),
        ((1.0, 1.0, 1.0), True, ("channel x drives +Y", "channel y drives +X", "mirrored")),
    ],
)
def test_wrong_cables_are_told_and_never_corrected(service_bench, off_centre, scale, swap, words):
    phantom, motion = off_centre
    scanner = load_scanner("osii-one")
    wired = np.eye(3)[[1, 0, 2]] if swap else np.eye(3)
    truth = replace(scanner, gradients=replace(scanner.gradients, channel_from_device=wired))
    bench = service_bench(motion=motion, gradients=GradientFaults(scale=scale), truth=truth)
    assert_refused(bench.run(GradientScaleStep(phantom)), *words)


def test_another_wiring_in_the_hardware_file_is_right_too(service_bench):
    phantom = ServicePhantom(centre_device_m=(0.016, -0.008, 0.024))
    scanner = load_scanner("osii-one")
    turned = replace(
        scanner, gradients=replace(scanner.gradients, channel_from_device=np.eye(3)[[2, 0, 1]] * [[-1], [1], [1]])
    )
    bench = service_bench(
        truth=turned,
        motion=Motion(steps=(MotionStep(start_s=0.0, shift_lps_m=(0.016, 0.008, -0.024)),)),
        gradients=GradientFaults(scale=(1.06, 1.0, 0.96), delay_s=(8e-6, 0.0, 0.0)),
    )
    bench.scanner = turned
    result = bench.run(GradientScaleStep(phantom))
    assert result.verdict is Verdict.PASS, (result.text, result.remedy)
    assert value_of(result) == pytest.approx([1.06, 1.0, 0.96], rel=0.005)
    assert value_of(bench.run(GradientDelayStep(phantom))) == pytest.approx([8e-6, 0, 0], abs=0.5e-6)


def test_a_centred_phantom_gives_strength_but_no_direction(service_bench):
    result = service_bench(gradients=GradientFaults(scale=(1.04, 1.0, 0.97))).run(GradientScaleStep())
    assert result.verdict is Verdict.WARN
    assert "Directions were not checked" in result.text
    assert "off the centre" in result.remedy
    assert value_of(result) == pytest.approx([1.04, 1.0, 0.97], rel=0.005)


def test_a_phantom_elsewhere_than_said_is_refused(service_bench, off_centre):
    _, motion = off_centre
    wrong = ServicePhantom(centre_device_m=(0.04, -0.008, 0.0))
    assert_refused(service_bench(motion=motion).run(GradientScaleStep(wrong)), "No wiring explains that")


def test_another_size_of_phantom_shows(service_bench, off_centre):
    _, motion = off_centre
    larger = ServicePhantom(diameter_m=0.15, centre_device_m=(0.016, -0.008, 0.024))
    result = service_bench(motion=motion).run(GradientScaleStep(larger))
    assert result.verdict is Verdict.WARN
    assert "phantom's size" in result.remedy


def test_a_gradient_far_off_is_refused(service_bench, off_centre):
    phantom, motion = off_centre
    result = service_bench(motion=motion, gradients=GradientFaults(scale=(1.0, 0.6, 1.0))).run(GradientScaleStep(phantom))
    assert_refused(result, "channel y is 0.60 times as strong", "full_scale_t_per_m")


def test_delays_are_found_and_confirmed(service_bench):
    faults = GradientFaults(delay_s=(12e-6, 0.0, -5e-6))
    bench = service_bench(gradients=faults, magnet=UNEVEN)
    result = bench.run(GradientDelayStep())
    assert value_of(result, Quantity.GRADIENT_DELAY) == pytest.approx(faults.delay_s, abs=0.4e-6)
    corrected = replace(bench.calibration, gradient_delay_s=result.values[0].value)
    again = service_bench(gradients=faults, calibration=corrected).run(GradientDelayStep())
    assert value_of(again) == pytest.approx(faults.delay_s, abs=0.2e-6)


def test_a_gradient_that_is_always_there_is_no_delay(service_bench):
    result = service_bench(magnet=MagnetFaults(harmonics_hz={"x": 400.0})).run(GradientDelayStep())
    assert result.verdict is Verdict.WARN
    assert "shim" in result.remedy
    assert value_of(result) == pytest.approx([0, 0, 0], abs=0.3e-6)
    background = float(result.text.split("always there: x ")[1].split(",")[0])
    assert background == pytest.approx(4000, rel=0.05)


def test_the_phase_of_the_coil_is_no_gradient(service_bench):
    result = service_bench(coil=CoilFaults(b1_fall_db=4.0)).run(GradientDelayStep())
    assert result.verdict is Verdict.PASS, result.text
    assert value_of(result) == pytest.approx([0, 0, 0], abs=0.3e-6)


def test_a_delay_of_no_amplifier_is_refused(service_bench):
    result = service_bench(gradients=GradientFaults(delay_s=(0.0, 160e-6, 0.0))).run(GradientDelayStep())
    assert result.verdict is Verdict.FAIL
    assert not result.values


def test_eddy_currents_are_found_by_channel_and_kind(service_bench):
    terms = (
        EddyTerm(channel="x", share=-0.01, time_constant_s=0.003),
        EddyTerm(channel="x", share=-0.005, time_constant_s=0.04),
        EddyTerm(channel="y", share=0.004, time_constant_s=0.010, is_b0=True),
    )
    result = service_bench(gradients=GradientFaults(eddy=terms)).run(EddyCurrentsStep())
    assert result.verdict is Verdict.WARN
    gradient, shift = (value_of(result, each).reshape(3, 3, 2) for each in (Quantity.EDDY, Quantity.EDDY_B0))
    assert gradient[0, :2, 0] == pytest.approx([-0.01, -0.005], rel=0.05)
    assert gradient[0, :2, 1] == pytest.approx([0.003, 0.04], rel=0.05)
    assert shift[1, 0] == pytest.approx([0.004 * 0.1, 0.010], rel=0.05)
    for table, kept in ((gradient, [(0, 0), (0, 1)]), (shift, [(1, 0)])):
        others = table.copy()
        for place in kept:
            others[place] = 0
        assert not others.any()


def test_no_eddy_currents_are_none(service_bench):
    result = service_bench().run(EddyCurrentsStep())
    assert result.verdict is Verdict.PASS
    assert not value_of(result, Quantity.EDDY).any()
    assert "nothing that can be seen" in result.text


def test_a_warming_magnet_is_no_eddy_current(service_bench):
    """One degree in an hour: 0.6 Hz each second."""
    result = service_bench(magnet=MagnetFaults(drift_c_per_s=1 / 3600)).run(EddyCurrentsStep())
    assert result.verdict is Verdict.PASS, result.text
    assert not value_of(result, Quantity.EDDY_B0).any(), result.text


def test_a_drift_that_does_not_cancel_is_refused(service_bench):
    result = service_bench(magnet=MagnetFaults(drift_c_per_s=5 / 3600)).run(EddyCurrentsStep(averages=1))
    assert_refused(result, "No sum of up to 3 exponentials", "Repeat with more averages")


def test_a_shim_is_found_and_does_what_it_was_to_do(service_bench):
    linear = {"x": 400.0, "y": -250.0, "z": 150.0}
    bench = service_bench(magnet=MagnetFaults(harmonics_hz=linear | {"z2": 120.0}))
    result = bench.run(ShimByMapStep())
    wanted = -np.array(list(linear.values())) / 0.1 / GAMMA_HZ_PER_T
    assert value_of(result, Quantity.SHIM) == pytest.approx(wanted, rel=0.03, abs=1e-6)
    before, after, predicted = (float(word) for word in result.text.replace("(", "").split() if word.isdigit())
    assert after < 0.2 * before
    assert after == pytest.approx(predicted, abs=5)


def test_a_shim_that_cannot_help_says_so(service_bench):
    result = service_bench(magnet=MagnetFaults(harmonics_hz={"z2": 700.0, "xy": 500.0})).run(ShimByMapStep())
    assert result.verdict is Verdict.WARN
    assert "Linear shims are not what limits this magnet" in result.remedy


def test_a_shim_that_does_not_do_what_it_was_to_do_is_refused(service_bench):
    """The field changes between the map and its check."""
    bench = service_bench(magnet=MagnetFaults(harmonics_hz={"x": 300.0}))

    def change(state):
        if state.text == "Checking":
            bench.scenario = replace(bench.scenario, magnet=MagnetFaults(harmonics_hz={"x": -100.0}))

    assert_refused(ShimByMapStep().run(bench, change), "was to leave", "lies still")


def test_the_field_map_tells_its_range(service_bench):
    result = service_bench(magnet=MagnetFaults(harmonics_hz={"x": 400.0, "z2": 300.0})).run(B0MapStep())
    grid = np.stack(np.meshgrid(*[np.linspace(-0.07, 0.07, 41)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    x, y, z = (grid[np.linalg.norm(grid, axis=1) <= 0.07] / 0.1).T
    true = np.ptp(400 * x + 300 * (z**2 - (x**2 + y**2) / 2))
    assert value_of(result, Quantity.B0_MAP)[0] == pytest.approx(true, rel=0.06)


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.6])
def test_flip_angles_are_checked(service_bench, scale):
    result = service_bench(coil=CoilFaults(transmit_scale=scale)).run(FlipCheckStep())
    turned = float(result.text.split(" by ")[1].split("°")[0])
    assert turned == pytest.approx(60 * scale, rel=0.01)
    assert result.verdict is (Verdict.PASS if scale == 1.0 else Verdict.FAIL)
    if scale == 1.0:
        assert value_of(result, Quantity.FLIP_CHECK) == pytest.approx((1.0, 1.0), rel=0.01)
    else:
        assert not result.values


def test_a_phantom_with_a_long_t1_is_refused(service_bench):
    assert_refused(service_bench(phantom="vials").run(FlipCheckStep()), "have not come back", "shorter T1")


def test_a_b1_map_shows_mean_and_spread(service_bench):
    result = service_bench(coil=CoilFaults(b1_fall_db=3.0, transmit_scale=0.9)).run(B1MapStep())
    rng = np.random.default_rng(1)
    places = rng.uniform(-SPHERE_RADIUS_M, SPHERE_RADIUS_M, (40000, 3))
    places = places[np.linalg.norm(places, axis=1) < SPHERE_RADIUS_M]
    true = transmit_scale(places, strength=1 - 10 ** (-3 / 20), radius_m=0.1)
    assert value_of(result, Quantity.B1_MAP)[0] == pytest.approx(true.std() / true.mean(), rel=0.15)
    mean = float(result.text.split("B1 is ")[1].split(" %")[0]) / 100
    assert mean == pytest.approx(0.9 * true.mean(), rel=0.03)
    assert result.verdict is Verdict.WARN


@pytest.mark.parametrize("step", MEASURING, ids=lambda step: step.name)
def test_without_a_phantom_nothing_is_believed(service_bench, step):
    assert_refused(service_bench(coil=CoilFaults(is_disconnected=True)).run(step))


@pytest.mark.parametrize("step", [ShimByMapStep(), B0MapStep()], ids=lambda step: step.name)
def test_a_map_that_is_mostly_noise_is_refused(service_bench, step):
    assert_refused(service_bench(receiver=ReceiverFaults(noise=10.0, adc_bits=16)).run(step), "The map is rough", "averages")


@pytest.mark.parametrize("step", MEASURING, ids=lambda step: step.name)
def test_a_tone_is_no_phantom(service_bench, step):
    tone = Interference(kind=InterferenceKind.TONE, level=0.05, frequency_hz=2.3e3)
    assert_refused(service_bench(coil=CoilFaults(is_disconnected=True), interference=(tone,)).run(step))


@pytest.mark.parametrize("step", MEASURING, ids=lambda step: step.name)
def test_a_clipped_receiver_is_refused(service_bench, step):
    loud = ReceiverFaults(noise=1.0, gain_db=30.0, adc_bits=16)
    assert_refused(service_bench(receiver=loud).run(step), "clipped", "gain")


@pytest.mark.parametrize("step", service_steps(), ids=lambda step: step.name)
def test_each_step_needs_a_phantom_and_says_its_name(step):
    assert step.needs_phantom
    assert step.name
    assert step.title


def test_stop_ends_a_step(service_bench):
    bench = service_bench()
    bench.cancel.set()
    with pytest.raises(ScanAborted):
        bench.run(GradientDelayStep())
