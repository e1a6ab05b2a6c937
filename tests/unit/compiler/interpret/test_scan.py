# SPDX-License-Identifier: MIT
"""RF, receiver, labels and gates of compiled scans."""

import numpy as np
import pytest

from isocenter.compiler.interpret import compile_scan
from isocenter.compiler.pulseq.model import SoftDelay, Trigger
from isocenter.domain.errors import CompileError, LimitError, SequenceError
from isocenter.domain.geometry import Placement
from isocenter.domain.receiver import CIC_SETTLING, raw_sample_ticks
from isocenter.domain.scanner import Calibration
from isocenter.domain.units import GAMMA_HZ_PER_T

CLOCK_HZ = 122.88e6
NOMINAL = Calibration(larmor_hz=2e6)
FULL_HZ = 1e-4 * GAMMA_HZ_PER_T


def run(draft, scanner, placement=None, calibration=NOMINAL, definitions=None, **options):
    return compile_scan(draft.file(**(definitions or {})), scanner, calibration, placement or Placement(), **options)


def envelope_at(segment, ticks):
    parts = []
    for name in ("tx0_i", "tx0_q"):
        track = segment.tracks.get(name)
        if track is None:
            parts.append(np.zeros(len(ticks)))
            continue
        row = np.searchsorted(track.ticks, ticks, side="right") - 1
        parts.append(np.where(row >= 0, track.values[np.maximum(row, 0)], 0))
    return (parts[0] + 1j * parts[1]) / 32767


def test_block_pulse_is_two_changes_with_its_phase_and_scale(draft, scanner_of):
    draft.block(1e-3, rf=draft.pulse(amplitude_hz=0.5 * FULL_HZ, phase_rad=np.pi / 2))
    segment = run(draft, scanner_of(), calibration=Calibration(larmor_hz=2e6, rf_scale=0.8)).segments[0]
    assert "tx0_i" not in segment.tracks
    track = segment.tracks["tx0_q"]
    assert track.values.tolist() == [round(32767 * 0.5 / 0.8), 0]
    assert np.diff(track.ticks)[0] == round(200e-6 * CLOCK_HZ)


@pytest.mark.parametrize("frequency_hz", [3000.0, -12500.0])
def test_defect_every_pulse_has_its_own_offset(draft, scanner_of, frequency_hz):
    """Reference mri4all.md 3, defect 3: two offsets, or an ADC offset unlike the RF's, or two dwells were refused."""
    shape = np.hanning(400)
    for offset_hz in (0.0, frequency_hz):
        draft.block(2e-3, rf=draft.pulse(frequency_hz=offset_hz, phase_rad=0.3, shape=shape))
        draft.block(
            5e-3,
            adc=draft.readout(frequency_hz=-offset_hz, phase_rad=0.7, dwell_s=20e-6 if offset_hz else 50e-6, delay_s=2e-4),
        )
    scan = run(draft, scanner_of())
    segment = scan.segments[0]
    start = segment.tracks["tx_gate"].ticks[::2] + 100e-6 * CLOCK_HZ
    for pulse, offset_hz in zip(start, (0.0, frequency_hz), strict=True):
        t_s = (np.arange(400) + 0.5) * 1e-6
        wanted = 1000 / FULL_HZ * shape * np.exp(1j * (0.3 + 2 * np.pi * offset_hz * t_s))
        got = envelope_at(segment, np.round(pulse + t_s * CLOCK_HZ).astype(int))
        np.testing.assert_allclose(got, wanted, atol=1.0 / 32767)
    np.testing.assert_allclose(scan.readouts.frequency_hz, [0.0, -frequency_hz])
    np.testing.assert_allclose(scan.readouts.phase_rad, 0.7)
    assert scan.readouts.decimation.tolist() == [1536, 614]
    rate = segment.tracks["rx0_rate"]
    assert rate.values.tolist() == [1536, 614]
    assert rate.ticks[1] <= scan.readouts.window_tick[1] - 60


def test_magnitude_never_exceeds_full_scale(draft, scanner_of):
    for phase in np.linspace(0, 2 * np.pi, 60):
        draft.block(1e-3, rf=draft.pulse(amplitude_hz=FULL_HZ, phase_rad=phase, frequency_hz=777.0))
    segment = run(draft, scanner_of()).segments[0]
    ticks = np.union1d(segment.tracks["tx0_i"].ticks, segment.tracks["tx0_q"].ticks)
    magnitude = np.abs(envelope_at(segment, ticks)) * 32767
    assert magnitude.max() <= 32767
    assert magnitude.max() > 32765


def test_too_much_rf_is_refused(draft, scanner_of):
    draft.block(1e-3, rf=draft.pulse(amplitude_hz=2 * FULL_HZ))
    with pytest.raises(LimitError, match=r"block 1 at 0\.0001 s needs 8515[\s\S]*4257[\s\S]*50\.0 %[\s\S]*2\.00 times"):
        run(draft, scanner_of())


def test_defect_warm_up_reaches_into_the_block_before(draft, scanner_of):
    """Reference mri4all.md 3: the warm-up had to fit into the pulse's own block."""
    draft.block(2e-3)
    draft.block(1e-3, rf=draft.pulse(delay_s=0.0))
    draft.block(1e-3, rf=draft.pulse(delay_s=0.0, use="r"))
    segment = run(draft, scanner_of()).segments[0]
    gate, tx = segment.tracks["tx_gate"], segment.tracks["tx0_i"]
    assert gate.values.tolist() == [1, 0, 1, 0]
    assert tx.ticks[0] - gate.ticks[0] == pytest.approx(100e-6 * CLOCK_HZ, abs=1)
    assert gate.ticks[1] - tx.ticks[1] == pytest.approx(10e-6 * CLOCK_HZ, abs=2)


def test_gates_of_close_pulses_merge(draft, scanner_of):
    for use in "er":
        draft.block(280e-6, rf=draft.pulse(delay_s=0.0, use=use))
    gate = run(draft, scanner_of()).segments[0].tracks["tx_gate"]
    assert gate.values.tolist() == [1, 0]


def test_window_holds_clean_samples_around_every_wanted_one(draft, scanner_of):
    draft.block(1e-3, rf=draft.pulse())
    draft.block(3e-3, adc=draft.readout(n=100, dwell_s=13.3e-6, delay_s=300e-6))
    scan = run(draft, scanner_of())
    r = scan.readouts
    raw = raw_sample_ticks(r.window_tick[0], int(r.decimation[0]), int(r.n_raw[0]))
    clean = raw[CIC_SETTLING:]
    last = r.first_sample_tick[0] + 99 * r.dwell_ticks[0]
    assert r.dwell_ticks[0] / r.decimation[0] >= 4
    assert clean[0] <= r.first_sample_tick[0] - 3 * r.dwell_ticks[0]
    assert clean[-1] >= last + 3 * r.dwell_ticks[0]
    enable = scan.segments[0].tracks["rx0_en"]
    assert enable.ticks.tolist() == [r.window_tick[0], r.window_tick[0] + r.decimation[0] * r.n_raw[0]]
    gate = scan.segments[0].tracks["rx_gate"]
    assert gate.ticks[0] <= enable.ticks[0]
    assert gate.ticks[1] >= enable.ticks[1]


def test_reception_in_the_dead_time_is_refused_with_the_remedy(draft, scanner_of):
    draft.block(400e-6, rf=draft.pulse())
    draft.block(20e-3, adc=draft.readout(dwell_s=200e-6))
    # the pulse ends at 300 us, reception is possible from 350 us, the readout starts at 400 us
    with pytest.raises(CompileError, match=r"block 2[\s\S]*50 us after[\s\S]*needs") as refused:
        run(draft, scanner_of())
    later_s = float(refused.value.remedy.split("at least ")[1].split(" us")[0]) * 1e-6
    draft.blocks[1] = (20e-3, -1, -1, -1, -1, draft.readout(dwell_s=200e-6, delay_s=later_s), -1)
    scan = run(draft, scanner_of())
    pulse_end = scan.segments[0].tracks["tx0_i"].ticks[-1]
    assert scan.readouts.window_tick[0] >= pulse_end + 50e-6 * CLOCK_HZ - 1


def test_a_pulse_that_follows_too_soon_is_refused(draft, scanner_of):
    draft.block(2e-3, adc=draft.readout(n=95, delay_s=50e-6))
    draft.block(1e-3, rf=draft.pulse(delay_s=0.0))
    with pytest.raises(CompileError, match=r"block 1[\s\S]*too late[\s\S]*at least \d+ us more"):
        run(draft, scanner_of())


def test_defect_labels_are_set_before_they_are_increased(draft, scanner_of):
    """Reference mri4all.md 3, defect 4 (extensions refused) and peers.md 2.4, 7 (order within a block)."""
    adc = draft.readout()
    draft.block(3e-3, adc=adc, label_set=(("LIN", 5),), label_increment=(("LIN", 1), ("ECO", 2)))
    draft.block(3e-3, adc=adc)
    draft.block(1e-3, label_increment=(("LIN", 2),))
    draft.block(3e-3, adc=adc, label_increment=(("ECO", -1),), label_set=(("REV", 1),))
    readouts = run(draft, scanner_of()).readouts
    assert readouts.label("LIN").tolist() == [6, 6, 8]
    assert readouts.label("ECO").tolist() == [2, 2, 1]
    assert readouts.label("REV").tolist() == [0, 0, 1]
    assert readouts.label("PAR").tolist() == [0, 0, 0]


def test_field_of_view_offset_moves_frequency_and_phase(draft, scanner_of):
    """A spin at the centre of the shifted field of view must come out with phase zero at every sample."""
    g = 0.01 * GAMMA_HZ_PER_T
    draft.block(1e-3, rf=draft.pulse())
    draft.block(2e-3, gx=draft.trapezoid(-g, flat_s=700e-6), gy=draft.trapezoid(0.3 * g))
    draft.block(1e-3, rf=draft.pulse(use="r"))
    draft.block(4e-3, gx=draft.trapezoid(g, flat_s=3e-3), adc=draft.readout(delay_s=300e-6))
    r0 = np.array([0.02, -0.01, 0.03])
    readouts = run(draft, scanner_of(), Placement(centre_device_m=r0)).readouts
    # k by hand: prephasers inverted by the refocusing pulse, then the readout's ramp and half a dwell and so on
    k_y = -0.3 * g * 1.1e-3
    t_s = 300e-6 + 20e-6 * (np.arange(64) + 0.5)
    k_x = g * 0.8e-3 + g * (t_s - 50e-6)
    spin = np.exp(2j * np.pi * (k_x * r0[0] + k_y * r0[1]))
    since_start_s = t_s - 300e-6
    seen = spin * np.exp(-1j * (readouts.phase_rad[0] + 2 * np.pi * readouts.frequency_hz[0] * since_start_s))
    np.testing.assert_allclose(seen, np.ones(64), atol=1e-6)
    assert readouts.frequency_hz[0] == pytest.approx(g * r0[0], rel=1e-6)


def test_offset_moves_a_selective_pulse_and_keeps_its_centre_phase(draft, scanner_of):
    g = 0.005 * GAMMA_HZ_PER_T
    shape = np.hanning(1000)
    draft.block(2e-3, rf=draft.pulse(delay_s=300e-6, phase_rad=0.4, shape=shape), gz=draft.trapezoid(g, flat_s=1.5e-3))
    scan = run(draft, scanner_of(), Placement(centre_device_m=np.array([0.0, 0.0, 0.03])))
    segment = scan.segments[0]
    start = segment.tracks["tx_gate"].ticks[0] + 100e-6 * CLOCK_HZ
    t_s = (np.arange(1000) + 0.5) * 1e-6
    got = envelope_at(segment, np.round(start + t_s * CLOCK_HZ).astype(int))
    wanted = 1000 / FULL_HZ * shape * np.exp(1j * (0.4 + 2 * np.pi * g * 0.03 * (t_s - 500e-6)))
    np.testing.assert_allclose(got, wanted, atol=1.5 / 32767)


def test_rotation_extension_turns_a_block(draft, scanner_of):
    draft.block(3e-3, gx=draft.trapezoid(1e5), rotation=(np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)))  # x to y
    draft.block(3e-3, gx=draft.trapezoid(1e5))
    tracks = run(draft, scanner_of()).segments[0].tracks
    assert tracks["grad_vy"].values.max() == pytest.approx(tracks["grad_vx"].values.max(), abs=1)
    assert tracks["grad_vy"].ticks[-1] <= tracks["grad_vx"].ticks[0]


def test_triggers_are_played_and_inputs_are_refused(draft, scanner_of):
    draft.block(1e-3, rf=draft.pulse())
    draft.block(1e-3, triggers=(Trigger(is_output=True, channel=3, delay_s=1e-4, duration_s=5e-5),))
    draft.block(1e-3, triggers=(Trigger(is_output=True, channel=2, delay_s=0.0, duration_s=1e-4),))
    tracks = run(draft, scanner_of()).segments[0].tracks
    assert np.diff(tracks["trig_out"].ticks)[0] == 50e-6 * CLOCK_HZ
    assert tracks["leds"].values.tolist() == [2, 0]
    draft.block(1e-3, triggers=(Trigger(is_output=False, channel=1, delay_s=0.0, duration_s=1e-3),))
    with pytest.raises(CompileError, match=r"waits for an input[\s\S]*without triggering"):
        run(draft, scanner_of())


def test_soft_delay_sets_the_block_and_refuses_nonsense(draft, scanner_of):
    draft.block(1e-3, rf=draft.pulse())
    draft.block(1e-3, soft_delay=SoftDelay(number=0, offset_s=-1e-3, factor=2.0, hint="TE"))
    draft.block(1e-3, rf=draft.pulse())
    ticks = run(draft, scanner_of(), soft_delays_s={"TE": 20e-3}).segments[0].tracks["tx0_i"].ticks
    assert ticks[2] - ticks[0] == pytest.approx(10e-3 * CLOCK_HZ, abs=1)
    with pytest.raises(SequenceError, match=r"'TE' of 1 ms[\s\S]*at least 2 ms"):
        run(draft, scanner_of(), soft_delays_s={"TE": 1e-3})
    with pytest.raises(SequenceError, match=r"called 'TI'; it has TE"):
        run(draft, scanner_of(), soft_delays_s={"TI": 1e-3})
