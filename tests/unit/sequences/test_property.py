# SPDX-License-Identifier: MIT
"""Any parameters: either a refusal with a remedy, or a sequence that keeps to the timing and the scanner's limits."""

import random
import re
from dataclasses import replace

import numpy as np
import pypulseq as pp
import pytest

from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import LimitError, SequenceError
from isocenter.domain.parameters import Parameter
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.sequences.build import build
from isocenter.sequences.catalogue import list_sequences, parameters
from isocenter.sequences.system import System

SCANNERS = ("osii-one", "physio-72mT", "osii-mini")
# Sizes only, so that a test stays fast; everything else is drawn from the whole range.
SMALL = {
    "n_read": 40,
    "n_phase": 14,
    "n_slab": 5,
    "averages": 2,
    "n_samples": 600,
    "windows": 3,
    "slices": 4,
    "dummy_shots": 10,
    "n_interleaves": 20,
    "shots": 8,
    "n_spokes": 50,
    "n_matrix": 36,
}


def draw(parameter: Parameter, rng: random.Random) -> float | int | str | bool:
    if parameter.kind == "switch":
        return rng.random() < 0.5
    if parameter.kind == "choice":
        return rng.choice(parameter.choices)
    low, high = parameter.low, min(parameter.high, SMALL.get(parameter.name, parameter.high))
    if parameter.kind == "integer":
        return rng.randint(int(low), int(high))
    if low > 0:
        return float(np.clip(np.exp(rng.uniform(np.log(low), np.log(high))), low, high))
    return rng.uniform(low, high)


def some_values(name: str, seed: int) -> dict[str, float | int | str | bool]:
    """Some defaults and some random ones, so that many are possible and many are not."""
    rng = random.Random(f"{name} {seed}")
    share = rng.choice((0.15, 0.4, 1.0))
    values = {item.name: draw(item, rng) for item in parameters(name) if rng.random() < share or item.name in SMALL}
    if rng.random() < 0.6 and "tr_s" in {item.name for item in parameters(name)}:
        values["tr_s"] = {"gre_3d": 0.2, "bssfp_3d": 0.05}.get(name, 1.5)
    return values


def build_or_refusal(name, values, scanner):
    try:
        return build(name, values, scanner)
    except SequenceError as error:
        return error


def check(built, scanner, tmp_path):
    path = tmp_path / "a.seq"
    path.write_bytes(built.seq)
    seq = pp.Sequence(system=System(scanner).opts)
    seq.read(str(path))
    is_ok, report = seq.check_timing()
    assert is_ok, report[:3]
    top = min(axis.max_t_per_m for axis in scanner.gradients.axes) * GAMMA_HZ_PER_T
    slew = min(axis.max_slew_t_per_m_s for axis in scanner.gradients.axes) * GAMMA_HZ_PER_T
    for waveform in seq.waveforms_and_times()[0]:
        if waveform.shape[1]:
            t, g = np.asarray(waveform, dtype=float)
            assert np.abs(g).max() <= top
            assert (np.abs(np.diff(g)) <= slew * np.diff(t) + 1e-3).all()
            assert g[-1] == 0
    check_receiver_and_transmitter(seq, scanner)


def check_receiver_and_transmitter(seq, scanner):
    clock, ends, starts, windows = 0.0, [], [], []
    for number in seq.block_events:
        block = seq.get_block(number)
        if block.rf is not None:
            starts.append(clock + block.rf.delay - scanner.rf.warmup_s)
            ends.append(clock + block.rf.delay + block.rf.shape_dur)
            assert np.abs(block.rf.signal).max() <= scanner.rf.full_scale_hz
            assert block.rf.shape_dur <= scanner.rf.max_pulse_s + 1e-9
        if block.adc is not None:
            begin = clock + block.adc.delay
            windows.append((begin, begin + block.adc.num_samples * block.adc.dwell, block.adc.dwell))
        clock += seq.block_durations[number]
    assert windows
    for begin, end, dwell in windows:
        before = [pulse for pulse in ends if pulse <= begin]
        after = [pulse for pulse in starts if pulse > begin]
        if before:
            assert begin - max(before) >= scanner.rf.dead_time_s + 4 * dwell - 1e-9
        if after:
            assert min(after) - end >= 4 * dwell - 1e-9 - dwell
    assert min(starts, default=0.0) >= -1e-9


@pytest.mark.parametrize("scanner_name", SCANNERS)
@pytest.mark.parametrize("name", [info.name for info in list_sequences()])
def test_refused_with_a_remedy_or_playable(name, scanner_name, tmp_path):
    scanner, built_ones, refused = load_scanner(scanner_name), 0, set()
    known = {item.name for item in parameters(name)}
    for seed in range(12):
        built = build_or_refusal(name, some_values(name, seed), scanner)
        if isinstance(built, SequenceError):
            assert "The sequence file" not in built.problem, built
            assert isinstance(built, LimitError) or re.search(r"\((\w+)", built.problem)[1] in known, built
            assert built.remedy.startswith(("Set", "Make", "Enlarge")), built
            refused.add(built.problem)
            continue
        built_ones += 1
        if built.report["TotalDuration"] < 400 and len(built.seq) < 200_000:
            check(built, scanner, tmp_path)
    assert built_ones >= 3, refused


@pytest.mark.parametrize(
    ("name", "values", "parameter", "pattern"),
    [
        ("tse_3d", {"echo_spacing_s": 0.006}, "echo_spacing_s", r"Set echo spacing to ([\d.]+) ms or more"),
        ("tse_3d", {"tr_s": 0.05}, "tr_s", r"Set TR to ([\d.]+) ms or more"),
        ("gre_3d", {"te_s": 0.002}, "te_s", r"Set TE to ([\d.]+) ms or more"),
        ("gre_3d", {"tr_s": 0.01}, "tr_s", r"Set TR to ([\d.]+) ms or more"),
        ("spin_echo_2d", {"te_s": 0.005}, "te_s", r"Set TE to ([\d.]+) ms or more"),
        ("spin_echo_2d", {"tr_s": 0.05}, "tr_s", r"Set TR to ([\d.]+) ms or more"),
        ("frequency", {"te_s": 0.004}, "te_s", r"Set TE to ([\d.]+) ms or more"),
        ("frequency", {"tr_s": 0.01}, "tr_s", r"Set TR to ([\d.]+) ms or more"),
        ("fid", {"tr_s": 0.01}, "tr_s", r"Set TR to ([\d.]+) ms or more"),
        ("spin_echo_2d", {"thickness_m": 0.002}, "thickness_m", r"Set the thickness to ([\d.]+) mm or more"),
        ("tse_3d", {"rf_s": 20e-6}, "rf_s", r"Set the RF pulse length to ([\d.]+) us or more"),
    ],
)
@pytest.mark.parametrize("scanner_name", ["osii-one", "osii-mini"])
def test_the_remedy_works_and_is_the_smallest_that_does(name, values, parameter, pattern, scanner_name):
    """What the refusal suggests builds; a little less than it does not."""
    scanner = load_scanner(scanner_name)
    with pytest.raises(SequenceError, match=parameter) as caught:
        build(name, values, scanner)
    found = re.search(pattern, caught.value.remedy)
    assert found is not None, caught.value
    scale = 1e-6 if " us" in pattern else 1e-3
    suggested = float(found[1]) * scale
    others = {key: value for key, value in values.items() if key != parameter}
    if parameter == "te_s":
        others["tr_s"] = 2.0
    build(name, {**others, parameter: suggested}, scanner)
    with pytest.raises(SequenceError, match=parameter):
        build(name, {**others, parameter: 0.93 * suggested}, scanner)


def test_too_short_an_echo_spacing_also_names_a_bandwidth_that_works():
    scanner = load_scanner("osii-one")
    with pytest.raises(SequenceError, match="raise the bandwidth to") as caught:
        build("tse_3d", {"echo_spacing_s": 0.0066}, scanner)
    bandwidth_hz = 1e3 * float(re.search(r"bandwidth to ([\d.]+) kHz", caught.value.remedy)[1])
    build("tse_3d", {"echo_spacing_s": 0.0066, "bandwidth_hz": bandwidth_hz}, scanner)


def test_too_strong_a_readout_names_bandwidth_and_field_of_view_that_work():
    scanner, values = (
        load_scanner("osii-one"),
        {"fov_read_m": 0.1, "bandwidth_hz": 100e3, "n_read": 32, "echo_spacing_s": 0.02},
    )
    with pytest.raises(
        SequenceError, match=r"100 kHz over a field of view \(fov_read_m\) of 100 mm needs .*8.55 mT/m"
    ) as caught:
        build("tse_3d", values, scanner)
    bandwidth_khz, fov_mm = re.search(r"to ([\d.]+) kHz or less, or .* to ([\d.]+) mm", caught.value.remedy).groups()
    build("tse_3d", {**values, "bandwidth_hz": 1e3 * float(bandwidth_khz)}, scanner)
    build("tse_3d", {**values, "fov_read_m": 1e-3 * float(fov_mm)}, scanner)


def test_too_much_rf_is_refused_with_the_factor_for_tr():
    values = {"rf_s": 1e-3, "echo_train_length": 64, "n_phase": 64, "echo_spacing_s": 0.015, "tr_s": 1.0}
    with pytest.raises(LimitError, match=r"RF on for 1\d\.\d%.*allows a sequence 9\.0%.*\n.*Make TR 1\.\d+ times"):
        build("tse_3d", values, load_scanner("osii-one"))


@pytest.mark.parametrize(
    ("name", "values", "parameter"),
    [
        ("tse_3d", {"crusher": 0.0, "n_read": 16, "bandwidth_hz": 50e3, "n_phase": 2, "n_slab": 1}, "echo_spacing_s"),
        ("gre_3d", {"n_read": 16, "bandwidth_hz": 50e3, "n_phase": 2, "n_slab": 1, "tr_s": 0.1}, "te_s"),
        ("spin_echo_2d", {"n_read": 16, "bandwidth_hz": 50e3, "n_phase": 2}, "te_s"),
        ("frequency", {"n_samples": 64}, "te_s"),
        ("fid", {"n_samples": 64}, ""),
    ],
)
def test_a_long_dead_time_is_waited_for(name, values, parameter, tmp_path):
    """With a dead time longer than any gradient, the shortest echo time that is allowed still keeps to it."""
    scanner = load_scanner("osii-one")
    scanner = replace(scanner, rf=replace(scanner.rf, dead_time_s=6e-3))
    if parameter:
        with pytest.raises(SequenceError, match=parameter) as caught:
            build(name, {**values, parameter: 0.005}, scanner)
        values = {**values, parameter: 1e-3 * float(re.search(r"to ([\d.]+) ms or more", caught.value.remedy)[1])}
    check(build(name, values, scanner), scanner, tmp_path)
