# SPDX-License-Identifier: MIT
"""Each imperfection of the virtual scanner on, its correction on: what is left of the error."""

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from isocenter.domain.geometry import Orientation, place
from isocenter.domain.pipeline import StepOrder
from isocenter.domain.scenario import GradientFaults, Interference, InterferenceKind, MagnetFaults, ReceiverFaults
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.correct.concomitant import concomitant_hz
from isocenter.recon.correct.delays import compare_polarities
from isocenter.recon.correct.editer import remove_with_sensors
from isocenter.recon.correct.spectral import remove_tones
from isocenter.recon.defaults import CARTESIAN, with_field
from isocenter.recon.steps.distortion import measured_field

_SPEC = importlib.util.spec_from_file_location("imperfect_scans", Path(__file__).with_name("conftest.py"))
scans = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(scans)

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops

MIDDLE = slice(1, 4)
WITHOUT = {name: tuple(order for order in CARTESIAN if order.step != name) for name in ("drift", "ghost")}


@pytest.fixture(scope="module")
def ideal():
    return reconstruct(scans.measured("tse_3d", scans.TSE, n_spins=32_000))[0]


@pytest.fixture(scope="module")
def true_mm(ideal):
    return scans.places_mm(ideal, MIDDLE)


def test_three_kilohertz_of_field_geometry_is_80_percent_better_with_a_measured_map(true_mm):
    magnet = MagnetFaults(spread_hz=3000.0)
    raw = scans.measured("tse_3d", scans.TSE | {"bandwidth_hz": 10e3, "echo_spacing_s": 0.014}, magnet=magnet)
    map_values = {"fov_read_m": 0.16, "fov_phase_m": 0.16, "fov_slab_m": 0.12, "n_read": 24, "n_phase": 24, "n_slab": 10}
    map_raw = scans.measured("b0_map", map_values | {"tr_s": 0.4, "step_s": 1e-4}, magnet=magnet, phantom="sphere")
    field = measured_field(map_raw, raw.lo_hz)
    plain = reconstruct(raw)[0]
    fixed = reconstruct(raw, pipeline=with_field(CARTESIAN), field=field)[0]
    before, after = (scans.rms(scans.places_mm(volume, MIDDLE)[:, :2] - true_mm[:, :2]) for volume in (plain, fixed))
    print(f"B0: {before:.2f} mm -> {after:.2f} mm")
    assert before > 0.8
    assert after < 0.2 * before


def test_a_kelvin_of_drift_leaves_less_than_a_tenth_of_a_voxel(true_mm):
    values = scans.TSE | {"navigator_every": 4}
    duration_s = scans.compiled("tse_3d", values).facts.duration_s
    magnet = MagnetFaults(drift_c_per_s=1 / duration_s)
    assert abs(scans.SCANNER.magnet.drift_hz_per_c) > 1000
    raw = scans.measured("tse_3d", values, with_navigators=True, magnet=magnet)
    steady = reconstruct(scans.measured("tse_3d", values))[0]
    plain = reconstruct(raw, pipeline=WITHOUT["drift"])[0]
    fixed = reconstruct(raw)[0]
    voxel_mm = 160 / 48
    off = scans.places_mm(fixed, MIDDLE)[:, 0] - scans.places_mm(steady, MIDDLE)[:, 0]
    print(f"drift: {scans.rms(off) / voxel_mm:.3f} voxels left")
    assert scans.rms(off) < 0.1 * voxel_mm
    wrong, left = (np.linalg.norm(volume.data - steady.data) for volume in (plain, fixed))
    assert left < 0.2 * wrong


def test_bent_gradients_are_straightened_by_80_percent(true_mm):
    shares, radius_m = (0.2, 0.15, 0.1), scans.SCANNER.magnet.imaging_diameter_m / 2
    raw = scans.measured("tse_3d", scans.TSE, n_spins=32_000, gradients=GradientFaults(nonlinearity=shares))
    step = StepOrder(
        step="gradients",
        parameters={"x_share": shares[0], "y_share": shares[1], "z_share": shares[2], "radius_m": radius_m},
    )
    at = [order.step for order in CARTESIAN].index("combine")
    plain = reconstruct(raw)[0]
    fixed = reconstruct(raw, pipeline=(*CARTESIAN[:at], step, *CARTESIAN[at:]))[0]
    before, after = (scans.rms(scans.places_mm(volume, MIDDLE)[:, :2] - true_mm[:, :2]) for volume in (plain, fixed))
    print(f"bent gradients: {before:.2f} mm -> {after:.2f} mm")
    assert before > 0.2
    assert after < 0.2 * before


@dataclass
class ConcomitantField:
    """What the step ``b0`` takes for the field: that of the read gradient."""

    gradient_t_per_m: np.ndarray
    larmor_hz: float

    def frequency_hz(self, position_m):
        return concomitant_hz(position_m, self.gradient_t_per_m, self.larmor_hz, 0)


def test_concomitant_field_of_the_readout_is_undone_by_80_percent():
    # B0 lies along x, across the bore; read along y, at high bandwidth, where it is worst. Single spin echoes: in trains the
    # encoding lobes' own concomitant phases spoil the refocusing, which nothing can undo afterwards.
    placement = place(Orientation.AXIAL, swap_read_phase=True)
    values = scans.TSE | {"bandwidth_hz": 50e3, "echo_train_length": 1, "n_slab": 1, "fov_slab_m": 0.1, "tr_s": 0.6}
    truth = reconstruct(scans.measured("tse_3d", values, placement, n_spins=30_000))[0]
    raw = scans.measured("tse_3d", values, placement, magnet=MagnetFaults(has_concomitant=True), n_spins=30_000)
    read = raw.encoding.step_read_per_m / (GAMMA_HZ_PER_T * raw.dwell_s)
    field = ConcomitantField(read, raw.lo_hz)
    plain = reconstruct(raw)[0]
    fixed = reconstruct(raw, pipeline=with_field(CARTESIAN), field=field)[0]
    whole = slice(0, 1)
    true_mm = scans.places_mm(truth, whole)
    before, after = (scans.rms(scans.places_mm(volume, whole)[:, :2] - true_mm[:, :2]) for volume in (plain, fixed))
    print(f"concomitant: {before:.3f} mm -> {after:.3f} mm")
    assert before > 0.05
    assert after < 0.2 * before


EPI = {"fov_read_m": 0.16, "fov_phase_m": 0.16, "n_read": 40, "n_phase": 40, "shots": 4, "thickness_m": 0.04, "tr_s": 0.5}


def test_late_gradients_are_measured_and_their_ghost_falls_by_80_percent():
    delay_s = 6e-6
    faults = GradientFaults(delay_s=(delay_s, delay_s, delay_s))
    raw = scans.measured("epi_2d", EPI, with_navigators=True, gradients=faults)
    steady = scans.measured("epi_2d", EPI, with_navigators=True)
    navigators = raw.label("NAV") != 0
    forth, back = (np.flatnonzero(navigators & (raw.label("REV") == rev)) for rev in (0, 1))
    centre = raw.encoding.centre_sample
    n_samples = raw.samples.shape[2]
    # stored with backward readouts in the order of time
    found = compare_polarities(raw.samples[forth[0]], raw.samples[back[0]], raw.dwell_s, centre)
    print(f"delay found {found.delay_s * 1e6:.2f} us of {delay_s * 1e6:.2f}, {n_samples} samples")
    assert found.delay_s == pytest.approx(delay_s, abs=0.25 * raw.dwell_s)
    truth = reconstruct(steady)[0].data
    plain, fixed = (reconstruct(raw, pipeline=way)[0].data for way in (WITHOUT["ghost"], CARTESIAN))
    air = np.abs(truth) < 0.05 * np.abs(truth).max()
    ghosts = [np.linalg.norm(data[air] - truth[air]) for data in (plain, fixed)]
    print(f"ghost: {ghosts[1] / ghosts[0]:.3f} left")
    assert ghosts[1] < 0.2 * ghosts[0]


NOISY = (
    Interference(kind=InterferenceKind.BROADBAND, level=0.01, width_hz=40e3),
    Interference(kind=InterferenceKind.TONE, level=0.01, frequency_hz=3100.0, width_hz=5.0),
    Interference(kind=InterferenceKind.MAINS_COMB, level=0.006, frequency_hz=-4000.0, width_hz=3000.0, modulation_hz=50.0),
)


def test_interference_goes_with_five_sensors_and_a_quiet_scan_is_left_alone():
    receiver = ReceiverFaults(noise=0.2)
    raw = scans.measured("tse_3d", scans.TSE, interference=NOISY, n_sensors=5, receiver=receiver)
    quiet = scans.measured("tse_3d", scans.TSE, n_sensors=5, receiver=receiver)
    coil, sensors = raw.samples[:, :1], raw.samples[:, list(raw.sensor_channels)]
    done = remove_with_sensors(coil, sensors)
    left = np.linalg.norm(done.samples - quiet.samples[:, :1]) / np.linalg.norm(coil - quiet.samples[:, :1])
    print(f"interference: {left:.3f} left; {done.figure}")
    assert left < 0.25
    still = remove_with_sensors(quiet.samples[:, :1], quiet.samples[:, list(quiet.sensor_channels)])
    assert np.linalg.norm(still.samples - quiet.samples[:, :1]) <= 1e-3 * np.linalg.norm(quiet.samples[:, :1])


def test_a_tone_goes_without_sensors():
    tone = Interference(kind=InterferenceKind.TONE, level=0.01, frequency_hz=3100.0, width_hz=1.0)
    raw = scans.measured("tse_3d", scans.TSE, interference=(tone,))
    quiet = scans.measured("tse_3d", scans.TSE)
    done = remove_tones(raw.samples, raw.dwell_s)
    left = np.linalg.norm(done.samples - quiet.samples) / np.linalg.norm(raw.samples - quiet.samples)
    print(f"tone: {left:.3f} left at {done.frequencies_hz}")
    assert left < 0.3
    still = remove_tones(quiet.samples, quiet.dwell_s)
    assert np.linalg.norm(still.samples - quiet.samples) <= 1e-3 * np.linalg.norm(quiet.samples)
    assert replace(quiet).is_complete
