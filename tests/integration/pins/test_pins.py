# SPDX-License-Identifier: MIT
"""What the words do at the pins is what pypulseq says the sequence asks for, in any place, on every scanner."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pypulseq as pp
import pytest
from pin_compare import Bench
from pin_truth import demand_of, play_at_pins

from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import Orientation, PatientPosition, place
from isocenter.domain.scanner import nominal_calibration
from isocenter.sequences.build import build
from isocenter.sequences.catalogue import list_sequences, parameters

GOLDEN = Path(__file__).parents[2] / "golden" / "pulseq"
SMALL = {
    "n_phase": 4,
    "n_slab": 2,
    "slices": 2,
    "n_samples": 128,
    "windows": 2,
    "dummy_shots": 1,
    "n_read": 48,
    "n_matrix": 24,
    "n_spokes": 60,
    "n_interleaves": 4,
    "shots": 1,
    "averages": 1,
}
ALSO = {
    "petra_3d": {"bandwidth_hz": 8e3},  # few points of the centre lie within the dead time
    "gradient_map": {"n_phase": 8},  # fewer lines are not allowed
}
OBLIQUE = place(
    Orientation.SAGITTAL,
    PatientPosition.FFDL,
    (0.012, -0.009, 0.007),
    (math.radians(20), math.radians(-13)),
    swap_read_phase=True,
)
STRAIGHT = place(Orientation.CORONAL)
AREA_CODES = 1.0  # in one update
CENTROID_TICKS = 0.5
RF_CODES = 1.0
CALIBRATION = {"shim_t_per_m": (1e-4, -2e-4, 5e-5), "rf_scale": 1.1}


def bench_of(text, tmp_path, scanner, placement, **changes):
    path = tmp_path / "scan.seq"
    path.write_bytes(text)
    calibration = replace(nominal_calibration(scanner), **changes)
    scan = compile_scan(read_pulseq(text), scanner, calibration, placement, max_segment_s=1e9)
    assert len(scan.segments) == 1
    pins = play_at_pins(scan.segments[0], scan.lo_hz, scanner)
    demand = demand_of(path, calibration.larmor_hz)
    return Bench(scan, pins, demand, scanner, placement, scan.segments[0].shim_codes, calibration.rf_scale)


def assert_true(bench):
    if any(len(axis.times) for axis in bench.logical):
        area, centroid, n_lobes = bench.gradients()
        assert n_lobes
        assert area <= AREA_CODES
        assert centroid <= CENTROID_TICKS
        assert bench.resting() == 0
    if bench.demand.pulses:
        error, outside = bench.pulses()
        assert error <= RF_CODES
        assert outside == 0
        assert bench.gates() >= bench.scanner.rf.dead_time_s - 1e-8
    if bench.demand.readouts:
        late, phase, uncovered = bench.readouts()
        assert late < 0.01
        assert phase < 2e-3
        assert uncovered == 0
    for name, values in bench.demand.labels.items():
        np.testing.assert_array_equal(bench.scan.readouts.label(name), values, err_msg=name)


WHERE = {
    "osii-one, oblique and shifted": ("osii-one", OBLIQUE),
    "physio-72mT": ("physio-72mT", STRAIGHT),
    "osii-mini, oblique and shifted": ("osii-mini", OBLIQUE),
    "osii-one": ("osii-one", STRAIGHT),
    "physio-72mT, oblique and shifted": ("physio-72mT", OBLIQUE),
    "osii-mini": ("osii-mini", STRAIGHT),
}
ALWAYS = 3  # the others only before a release: they take minutes


@pytest.mark.parametrize(
    ("scanner_name", "placement"),
    [
        pytest.param(*where, id=name, marks=() if number < ALWAYS else pytest.mark.slow)
        for number, (name, where) in enumerate(WHERE.items())
    ],
)
@pytest.mark.parametrize("name", [info.name for info in list_sequences()])
def test_a_shipped_sequence_is_true_at_the_pins(tmp_path, name, scanner_name, placement):
    scanner = load_scanner(scanner_name)
    sizes = {item.name: SMALL[item.name] for item in parameters(name) if item.name in SMALL}
    built = build(name, sizes | ALSO.get(name, {}), scanner)
    assert_true(bench_of(built.seq, tmp_path, scanner, placement, **CALIBRATION))


THIRD_PARTY = [
    "komamri/read_comparison_v1.3_epi.seq",
    "komamri/read_comparison_v1.4_epi.seq",
    "komamri/read_comparison_v1.5_fid.seq",
    "pulseq/gre.seq",
    "pypulseq/seq1.seq",
    "pypulseq/write_epi_se.seq",
]


def strong(scanner):
    """The same console with stronger amplifiers: these files were made for 1.5 T and more."""
    axes = tuple(replace(axis, full_scale_t_per_m=0.2) for axis in scanner.gradients.axes)
    rf = replace(scanner.rf, full_scale_t=5e-3, warmup_s=5e-6, hold_s=1e-6, dead_time_s=5e-6)
    receiver = replace(scanner.receiver, oversampling=2)
    return replace(scanner, gradients=replace(scanner.gradients, axes=axes), rf=rf, receiver=receiver)


@pytest.mark.parametrize("scanner_name", ["osii-one", "physio-72mT"])
@pytest.mark.parametrize("name", THIRD_PARTY)
def test_a_file_of_others_is_true_at_the_pins(tmp_path, name, scanner_name):
    assert_true(bench_of((GOLDEN / name).read_bytes(), tmp_path, strong(load_scanner(scanner_name)), STRAIGHT))


def test_outputs_are_at_their_pins_in_their_time(tmp_path):
    system = pp.Opts()
    sequence = pp.Sequence(system)
    pulse = pp.make_block_pulse(math.pi / 2, duration=1e-3, delay=3e-4, system=system, use="excitation")
    sequence.add_block(pulse)
    wanted = [("osc0", 30e-6, 50e-6), ("ext1", 10e-6, 120e-6), ("osc1", 0.0, 10e-6)]
    for channel, delay, duration in wanted:
        sequence.add_block(pp.make_digital_output_pulse(channel, delay=delay, duration=duration), pp.make_delay(1e-3))
    sequence.add_block(pp.make_adc(64, dwell=20e-6, delay=1e-3))
    path = tmp_path / "outputs.seq"
    sequence.write(str(path))
    bench = bench_of(path.read_bytes(), tmp_path, load_scanner("osii-one"), STRAIGHT)
    bits = {"osc0": ("leds", 1), "osc1": ("leds", 2), "ext1": ("trig_out", 1)}
    start = sequence.block_durations[1]
    for channel, delay, duration in wanted:
        name, value = bits[channel]
        low, high = bench.tick(start + delay), bench.tick(start + delay + duration)
        pin = bench.pins[name]
        assert pin.at(int(low) + 2) == value
        assert pin.at(int(low) - 2) == 0
        assert pin.at(int(high) - 2) == value
        assert pin.at(int(high) + 2) == 0
        start += 1e-3


@pytest.mark.parametrize("scanner_name", ["osii-one", "physio-72mT"])
@pytest.mark.parametrize(
    ("name", "changes"), [("gre_3d", {"n_phase": 12}), ("tse_3d", {}), ("spin_echo_2d", {}), ("localizer", {})]
)
def test_cutting_changes_nothing_but_when_a_segment_starts(scanner_name, name, changes):
    scanner = load_scanner(scanner_name)
    declared = {item.name: SMALL[item.name] for item in parameters(name) if item.name in SMALL}
    built = build(name, {**declared, **changes}, scanner)
    calibration = replace(nominal_calibration(scanner), **CALIBRATION)
    file = read_pulseq(built.seq)
    whole = compile_scan(file, scanner, calibration, OBLIQUE, max_segment_s=1e9)
    parts = compile_scan(file, scanner, calibration, OBLIQUE, max_segment_s=0.15)
    assert len(parts.segments) >= 2
    one, done = whole.segments[0], 0
    for segment in parts.segments:
        n = len(segment.readouts)
        if not n:
            continue
        # Where this segment lies in the whole: by its first readout.
        shift = int(one.readouts.window_tick[done] - segment.readouts.window_tick[0])
        np.testing.assert_array_equal(segment.readouts.window_tick + shift, one.readouts.window_tick[done : done + n])
        for channel in ("tx0_i", "tx0_q", "tx_gate", "grad_vx", "grad_vy", "grad_vz", "rx0_en", "rx_gate"):
            if channel not in segment.tracks:
                continue
            _same_staircase(segment, one, channel, shift, scanner)
        done += n
    assert done == len(whole.readouts)
    for field in ("block", "decimation", "n_raw", "n_samples", "dwell_ticks", "phase_rad", "frequency_hz"):
        np.testing.assert_array_equal(getattr(parts.readouts, field), getattr(whole.readouts, field))


def _same_staircase(segment, one, channel, shift, scanner):
    """Between the first and the last event of a segment a channel is what it is in the whole, dummy shots included."""
    mine, full = segment.tracks[channel], one.tracks[channel]
    low = segment.tracks["tx_gate"].ticks[0] if "tx_gate" in segment.tracks else mine.ticks[0]
    if channel in ("rx0_en", "rx_gate"):
        low = segment.readouts.window_tick[0] - 5000
    high = segment.readouts.window_tick[-1]
    ticks = np.arange(low, high, 997)
    want = full.values[np.searchsorted(full.ticks, ticks + shift, side="right") - 1]
    want = np.where(np.searchsorted(full.ticks, ticks + shift, side="right") > 0, want, 0)
    got = mine.values[np.maximum(np.searchsorted(mine.ticks, ticks, side="right") - 1, 0)]
    got = np.where(np.searchsorted(mine.ticks, ticks, side="right") > 0, got, 0)
    differs = np.flatnonzero(got != want)
    assert not len(differs), f"{channel} in segment {segment.index} at tick {ticks[differs[0]]}"
