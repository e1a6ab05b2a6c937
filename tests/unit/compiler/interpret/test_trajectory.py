# SPDX-License-Identifier: MIT
"""The trajectory is what the board plays: checked by integrating the finished tables again, and against the encoding."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pypulseq as pp
import pytest

from isocenter.compiler.interpret import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.domain.errors import CompileError
from isocenter.domain.geometry import Orientation, Placement, place
from isocenter.domain.scanner import Calibration, GradientBoard, nominal_calibration
from isocenter.domain.units import GAMMA_HZ_PER_T

GOLDEN = Path(__file__).parents[3] / "golden" / "pulseq"
CLOCK_HZ = 122.88e6
NOMINAL = Calibration(larmor_hz=2e6)
G = 0.004 * GAMMA_HZ_PER_T


def run(draft, scanner, placement=None, calibration=NOMINAL, **options):
    return compile_scan(draft.file(), scanner, calibration, placement or Placement(), **options)


def played_moment(segment, scanner, scan, tick):
    """Moment in device axes at a tick of a segment, added up change by change [1/m]."""
    total = np.zeros(3)
    for channel, name in enumerate(("grad_vx", "grad_vy", "grad_vz")):
        track, shim = segment.tracks[name], segment.shim_codes[channel]
        late = scanner.gradients.axes[channel].delay_s * CLOCK_HZ
        begins = track.ticks[1:-1] + late  # the first change is the shim's, the last takes it away
        ends = np.append(track.ticks[2:-1] + late, np.inf)
        held = np.clip(np.minimum(ends, tick) - begins, 0, None)
        area = float(np.sum((track.values[1:-1] - shim) * held))
        total[channel] = area * scan.gradient_t_per_m_per_code[channel] * GAMMA_HZ_PER_T / CLOCK_HZ
    return np.linalg.inv(scanner.gradients.channel_from_device) @ total


def spiral(draft, turns=4.0, length_s=4e-3):
    """Two smooth gradients that grow and turn, and come back to zero."""
    t = np.linspace(0, 1, 401)
    fall = np.minimum(1, (1 - t) * 10)
    x, y = t * fall * np.cos(2 * np.pi * turns * t), t * fall * np.sin(2 * np.pi * turns * t)
    return draft.gradient(G, t * length_s, x), draft.gradient(G, t * length_s, y)


@pytest.mark.parametrize("delay_s", [0.0, 9e-6])
def test_a_spiral_is_where_the_staircases_put_it(draft, scanner_of, board, delay_s):
    scanner = scanner_of(board, delays_s=(delay_s, delay_s, 0.0))
    gx, gy = spiral(draft)
    for _ in range(3):
        draft.block(1e-3, rf=draft.pulse())
        draft.block(5e-3, gx=gx, gy=gy, adc=draft.readout(n=200, dwell_s=20e-6))
        draft.block(3e-3)
    shim = Calibration(larmor_hz=2e6, shim_t_per_m=(2e-4, -1e-4, 3e-4))
    scan = run(draft, scanner, place(Orientation.CORONAL), shim, max_segment_s=10.0)
    assert scan.encoding is None
    assert scan.trajectory_per_m.shape == (3, 200, 3)
    assert scan.trajectory_per_m.dtype == np.float32
    (segment,) = scan.segments
    gate = segment.tracks["tx_gate"].ticks[::2] + (100e-6 + 100e-6) * CLOCK_HZ  # warm-up and half of the pulse
    for row in range(3):
        for sample in (0, 50, 137, 199):
            tick = scan.readouts.first_sample_tick[row] + sample * scan.readouts.dwell_ticks[row]
            wanted = played_moment(segment, scanner, scan, tick) - played_moment(segment, scanner, scan, gate[row])
            np.testing.assert_allclose(scan.trajectory_per_m[row, sample], wanted, atol=2e-3)
    assert np.linalg.norm(scan.trajectory_per_m, axis=2).max() > 20


def test_a_spiral_follows_what_was_asked_for(draft, scanner_of, board):
    """A cell of the staircase is one mean: off by less than a 16th of a cell's gradient change, and never more and more."""
    gx, gy = spiral(draft)
    draft.block(1e-3, rf=draft.pulse())
    draft.block(5e-3, gx=gx, gy=gy, adc=draft.readout(n=200, dwell_s=20e-6))
    scan = run(draft, scanner_of(board, delays_s=(9e-6, 4e-6, 0.0)))
    t = (np.arange(200) + 0.5) * 20e-6
    fine = np.linspace(0, 4e-3, 40001)
    for axis, event in enumerate((gx, gy)):
        times, shape = draft.gradients[event][2:]
        wave = G * np.interp(fine, times, shape)
        k = np.concatenate([[0], np.cumsum(0.5 * (wave[1:] + wave[:-1]) * np.diff(fine))])
        wanted = np.interp(t, fine, k)
        slew = np.abs(np.diff(wave) / np.diff(fine)).max()
        cell_s = 10e-6 if board is GradientBoard.OCRA1 else 11e-6
        np.testing.assert_allclose(scan.trajectory_per_m[0, :, axis], wanted, atol=slew * cell_s**2 / 8 + 0.3)


def test_a_cartesian_scan_has_none_and_agrees_with_its_encoding_when_asked(draft, scanner_of, board):
    scanner, placement = (
        scanner_of(board, delays_s=(5e-6, 0.0, 9e-6)),
        place(Orientation.SAGITTAL, centre_lps_m=(0.01, 0.02, -0.015)),
    )
    pre, read, adc = draft.trapezoid(-G, flat_s=450e-6), draft.trapezoid(G, flat_s=1e-3), draft.readout(32, 20e-6, 250e-6)
    for lin in range(4):
        for par in range(3):
            encode = [draft.trapezoid((index - n // 2) * 2e4, flat_s=450e-6) for index, n in ((lin, 4), (par, 3))]
            draft.block(1e-3, rf=draft.pulse(), label_set=(("LIN", lin), ("PAR", par)))
            draft.block(1e-3, gx=pre, gy=encode[0], gz=encode[1])
            draft.block(2e-3, gx=read, adc=adc)
            draft.block(1e-3)
    assert run(draft, scanner, placement).trajectory_per_m is None
    scan = run(draft, scanner, placement, with_trajectory=True)
    e = scan.encoding
    lin, par = scan.readouts.label("LIN"), scan.readouts.label("PAR")
    wanted = (
        (np.arange(32) - e.centre_sample)[None, :, None] * e.step_read_per_m
        + (lin - e.centre_lin)[:, None, None] * e.step_lin_per_m
        + (par - e.centre_par)[:, None, None] * e.step_par_per_m
    )
    np.testing.assert_allclose(scan.trajectory_per_m, wanted, atol=0.15)  # a code held for one cell, and rounding


def test_refocusing_inverts_and_evolution_is_zero_at_the_echo(draft, scanner_of, board):
    """90, area, 180, readouts of two lengths: k starts at minus the area, and the echo is where time comes back to zero."""
    area = draft.trapezoid(G, flat_s=900e-6)
    draft.block(1e-3, rf=draft.pulse())
    draft.block(2e-3, gx=area, gy=area)
    draft.block(1e-3, rf=draft.pulse(use="r"))
    draft.block(4e-3, gx=draft.trapezoid(G, flat_s=3e-3), adc=draft.readout(10, 100e-6, 100e-6))
    draft.block(2e-3, adc=draft.readout(4, 100e-6, 200e-6))
    scan = run(draft, scanner_of(board))
    k = scan.trajectory_per_m
    assert k.shape == (2, 10, 3)
    np.testing.assert_allclose(k[0, :, 1], -G * 1e-3, rtol=1e-3)
    np.testing.assert_allclose(k[0, :, 0], G * (-1e-3 + 50e-6 + 50e-6 + 100e-6 * np.arange(10)), atol=0.3)
    assert np.isnan(k[1, 4:]).all()
    assert np.isfinite(k[1, :4]).all()
    # pulses are centred 200 us into their blocks: 3 ms apart, so the echo is 6 ms after the first
    first_s = 4e-3 + 150e-6 - 200e-6
    np.testing.assert_allclose(scan.evolution_s, [first_s - 6e-3, first_s + 4e-3 + 100e-6 - 6e-3], atol=1e-9)


def test_nothing_encoded_is_no_trajectory(draft, scanner_of, board):
    crusher = draft.trapezoid(G, flat_s=900e-6)
    draft.block(2e-3, adc=draft.readout(16, 20e-6, 200e-6))
    draft.block(1e-3, rf=draft.pulse())
    draft.block(2e-3, gz=crusher)
    draft.block(1e-3, rf=draft.pulse(use="r"))
    draft.block(2e-3, gz=crusher)
    draft.block(2e-3, adc=draft.readout(16, 20e-6, 200e-6))
    scan = run(draft, scanner_of(board))
    assert scan.trajectory_per_m is None
    assert np.isnan(scan.evolution_s[0])
    assert np.isfinite(scan.evolution_s[1])


def test_noise_and_navigators_have_no_rows(draft, scanner_of, board):
    gx, gy = spiral(draft)
    adc = draft.readout(n=100, dwell_s=20e-6)
    draft.block(3e-3, adc=draft.readout(100, 20e-6, 200e-6), label_set=(("NOISE", 1),))
    for nav in (0, 1, 0):
        draft.block(1e-3, rf=draft.pulse(), label_set=(("NOISE", 0), ("NAV", nav)))
        draft.block(5e-3, gx=gx, gy=gy, adc=adc)
    scan = run(draft, scanner_of(board))
    assert scan.trajectory_per_m.shape == (2, 100, 3)
    assert len(scan.evolution_s) == 4


@pytest.mark.filterwarnings("ignore::UserWarning")  # pypulseq on the age of these files
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("komamri/basic_tests_v1.5_gre_rad", (3, 480, 3)),
        ("komamri/basic_tests_v1.2_radial_JEMRIS", (32, 32, 3)),
        ("pypulseq/write_epi_se", (64, 64, 3)),
    ],
)
def test_files_of_other_projects_have_the_trajectory_that_pypulseq_computes(name, shape, scanner_of):
    scanner = scanner_of(GradientBoard.OCRA1)
    strong = replace(  # these files are for scanners of another kind
        scanner,
        rf=replace(scanner.rf, full_scale_t=1e-2, warmup_s=1e-6, hold_s=1e-6, dead_time_s=1e-6),
        receiver=replace(scanner.receiver, oversampling=1),
        gradients=replace(
            scanner.gradients,
            spi_divider=0,
            axes=tuple(replace(axis, full_scale_t_per_m=0.2, max_t_per_m=0.2) for axis in scanner.gradients.axes),
        ),
    )
    path = GOLDEN / f"{name}.seq"
    scan = compile_scan(read_pulseq(path.read_bytes()), strong, nominal_calibration(strong), Placement())
    seq = pp.Sequence()
    seq.read(str(path))
    wanted = seq.calculate_kspace()[0].T.reshape(shape)
    np.testing.assert_allclose(scan.trajectory_per_m, wanted, rtol=0, atol=2e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("placement", [place(Orientation.AXIAL, centre_lps_m=(0.02, -0.03, 0.01), tilt_rad=(0.2, 0.1))])
def test_a_curved_readout_is_moved_sample_by_sample(draft, scanner_of, board, placement):
    gx, gy = spiral(draft)
    for offset_hz in (0.0, 400.0):
        draft.block(1e-3, rf=draft.pulse())
        draft.block(5e-3, gx=gx, gy=gy, adc=draft.readout(n=150, dwell_s=10e-6, frequency_hz=offset_hz, phase_rad=0.4))
        draft.block(1e-3, rf=draft.pulse())
        draft.block(4e-3, gx=draft.trapezoid(G, flat_s=3e-3), adc=draft.readout(100, 20e-6, 500e-6))
        draft.block(0.7)
    scanner = scanner_of(board, delays_s=(5e-6, 0.0, 2e-6))
    scan, centred = (
        run(draft, scanner, where, max_segment_s=0.5)
        for where in (placement, replace(placement, centre_device_m=np.zeros(3)))
    )
    assert len(scan.segments) > 1
    assert centred.readouts.bend_rad is None
    k = scan.trajectory_per_m.astype(float) @ placement.centre_device_m
    curved, straight = slice(0, None, 2), slice(1, None, 2)
    error = np.exp(1j * scan.readouts.bend_rad[curved]) * np.exp(-2j * np.pi * k[curved])
    np.testing.assert_allclose(np.angle(error[:, :150]), 0, atol=2e-2)
    # these keep what the sequence says; constant gradients go on with one phase and one frequency
    np.testing.assert_allclose(scan.readouts.frequency_hz[curved], [0.0, 400.0])
    np.testing.assert_allclose(scan.readouts.phase_rad[curved], 0.4)
    assert not scan.readouts.bend_rad[straight].any()
    assert np.abs(scan.readouts.frequency_hz[straight]).min() > 100
    parts = [segment.readouts.bend_rad for segment in scan.segments if len(segment.readouts)]
    np.testing.assert_array_equal(np.concatenate(parts), scan.readouts.bend_rad)
    np.testing.assert_array_equal(scan.readouts.slice(1, 3).bend_rad, scan.readouts.bend_rad[1:3])


def test_a_curved_readout_out_of_the_band_is_refused(draft, scanner_of, board):
    gx, gy = spiral(draft)
    draft.block(1e-3, rf=draft.pulse())
    draft.block(5e-3, gx=gx, gy=gy, adc=draft.readout(n=40, dwell_s=100e-6))
    far = replace(Placement(), centre_device_m=np.array([0.1, 0.0, 0.0]))
    with pytest.raises(CompileError, match=r"100\.0 mm off the isocenter.*block 2.*band\.\n.*to within [\d.]+ mm"):
        run(draft, scanner_of(board), far)
