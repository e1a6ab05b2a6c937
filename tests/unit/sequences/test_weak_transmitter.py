# SPDX-License-Identifier: MIT
"""A transmitter that was measured to be weak: pulses get longer, turn as far as before, and the person is told."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import LimitError, SequenceError
from isocenter.domain.geometry import Orientation, PatientPosition, place
from isocenter.domain.scanner import nominal_calibration
from isocenter.sequences.build import build
from isocenter.sequences.catalogue import list_sequences
from isocenter.sequences.transmit import Transmitter, hard_band_hz

FULL_CODE = 32767
CLINICAL = [info.name for info in list_sequences() if info.is_clinical]
FEW = {"tse_3d": {"n_phase": 8, "n_slab": 2, "dummy_shots": 0}, "spin_echo_2d": {"n_phase": 8, "slices": 2}}


def weak(scanner, scale):
    return replace(nominal_calibration(scanner), rf_scale=scale)


@pytest.mark.parametrize("name", CLINICAL)
def test_every_clinical_sequence_compiles_at_its_defaults_on_a_weak_transmitter(name):
    scanner = load_scanner("osii-one")
    calibration = weak(scanner, 0.3)
    built = build(name, {}, scanner, calibration)
    placement = place(Orientation.AXIAL, PatientPosition.HFS)
    scan = compile_scan(read_pulseq(built.seq, name=name), scanner, calibration, placement)
    assert len(scan.readouts)
    had_to = bool(built.notes)
    nominal = build(name, {}, scanner)
    assert had_to == (nominal.seq != built.seq)
    if had_to:
        with pytest.raises(LimitError, match="full scale"):
            compile_scan(read_pulseq(nominal.seq, name=name), scanner, calibration, placement)


@pytest.mark.parametrize("scanner_name", ["osii-one", "osii-mini", "physio-72mT"])
@pytest.mark.parametrize("name", ["localizer", "tse_3d", "spin_echo_2d"])
def test_so_it_does_on_every_scanner(name, scanner_name):
    scanner = load_scanner(scanner_name)
    build(name, {}, scanner, weak(scanner, 0.5))


def test_the_lengths_are_told_with_the_reason_and_stand_in_the_file():
    scanner = load_scanner("osii-one")
    built = build("tse_3d", FEW["tse_3d"], scanner, weak(scanner, 0.3))
    told = built.notes[0]
    excite, refocus = re.search(r"excitation 80 us to (\d+) us, refocusing 160 us to (\d+) us", told).groups()
    needed_s = 0.25 / (0.95 * 0.3 * scanner.rf.full_scale_hz)
    assert needed_s <= int(excite) * 1e-6 < needed_s + 2e-6
    assert 2 * needed_s <= int(refocus) * 1e-6 < 2 * needed_s + 2e-6
    assert "0.3 of its usual field" in told
    assert built.report["LongerPulses"] in told
    assert any("2.9 kHz only" in note and "14 kHz" in note for note in built.notes)


@pytest.mark.parametrize("name", ["tse_3d", "spin_echo_2d"])
@pytest.mark.parametrize("scale", [1.0, 0.3, 0.08])
def test_flip_angles_and_thickness_stay(name, scale, read_back):
    scanner = load_scanner("osii-one")
    scanner = replace(scanner, rf=replace(scanner.rf, max_duty=0.5))
    values = {**FEW[name], "tr_s": 3.0}
    seq = read_back(build(name, values, scanner, weak(scanner, scale)))
    turns, products = set(), []
    for number in seq.block_events:
        block = seq.get_block(number)
        if block.rf is not None:
            assert np.abs(block.rf.signal).max() <= 0.95 * scale * scanner.rf.full_scale_hz * (1 + 1e-5)
            turns.add(round(360 * abs(np.trapezoid(block.rf.signal, block.rf.t))))
            if block.gz is not None:
                products.append(block.gz.amplitude * block.rf.shape_dur)
    if name == "spin_echo_2d":
        np.testing.assert_allclose(products, 4.0 / 0.008, rtol=1e-4)
    assert all(min(abs(turn - 90), abs(turn - 180)) <= 2 for turn in turns), turns


def test_slices_that_bend_more_are_told():
    scanner = load_scanner("osii-one")
    built = build("spin_echo_2d", {**FEW["spin_echo_2d"], "te_s": 0.04, "tr_s": 2.0}, scanner, weak(scanner, 0.08))
    assert any(re.search(r"Slices bend and shift \d\.\d times as much", note) for note in built.notes), built.notes


def test_what_no_longer_fits_is_refused_with_the_change_and_the_reason():
    scanner = load_scanner("osii-one")
    values = {**FEW["tse_3d"], "echo_spacing_s": 0.00626}
    build("tse_3d", values, scanner)
    with pytest.raises(SequenceError, match=r"Echo spacing.*RF pulses are longer than asked for.*0\.3 of") as caught:
        build("tse_3d", values, scanner, weak(scanner, 0.3))
    spacing_s = 1e-3 * float(re.search(r"Set echo spacing to ([\d.]+) ms", caught.value.remedy)[1])
    build("tse_3d", {**values, "echo_spacing_s": spacing_s}, scanner, weak(scanner, 0.3))
    with pytest.raises(SequenceError):
        build("tse_3d", {**values, "echo_spacing_s": spacing_s - 20e-6}, scanner, weak(scanner, 0.3))


def test_too_long_for_the_amplifier_names_what_to_look_at():
    scanner = load_scanner("osii-one")
    with pytest.raises(
        SequenceError, match=r"would have to last .* gives 0\.004 of its usual field.*\n.*coil is tuned.*Prescan page"
    ):
        build("tse_3d", FEW["tse_3d"], scanner, weak(scanner, 0.004))
    with pytest.raises(SequenceError, match=r"lower the flip angle to (\d+)° or less") as caught:
        build("gre_3d", {"flip_rad": math.pi / 2}, scanner, weak(scanner, 0.004))
    smaller_deg = int(re.search(r"angle to (\d+)°", caught.value.remedy)[1])
    transmitter = Transmitter(scanner, 0.004)
    asked_s = 100e-6
    peak_hz = math.radians(smaller_deg) / (2 * math.pi) / asked_s
    assert transmitter.needed_s(peak_hz, asked_s, 2e-6) <= scanner.rf.max_pulse_s
    larger_hz = math.radians(smaller_deg + 1.5) / (2 * math.pi) / asked_s
    assert transmitter.needed_s(larger_hz, asked_s, 2e-6) > scanner.rf.max_pulse_s


def test_a_petra_pulse_that_its_gradient_would_make_selective_is_refused_with_a_flip_angle_that_does():
    scanner = load_scanner("osii-one")
    with pytest.raises(SequenceError, match=r"edge of the field of view would not be excited") as caught:
        build("petra_3d", {"n_spokes": 50}, scanner, weak(scanner, 0.1))
    flip_deg, band_khz = re.search(
        r"angle to (\d+)° or less, or the bandwidth to ([\d.]+) kHz", caught.value.remedy
    ).groups()
    build("petra_3d", {"n_spokes": 50, "flip_rad": math.radians(int(flip_deg))}, scanner, weak(scanner, 0.1))
    build("petra_3d", {"n_spokes": 50, "bandwidth_hz": 1e3 * float(band_khz)}, scanner, weak(scanner, 0.1))


def test_a_wish_that_even_the_hardware_files_transmitter_cannot_fulfil_is_refused_as_before():
    scanner = load_scanner("osii-one")
    for calibration in (None, weak(scanner, 0.5)):
        with pytest.raises(SequenceError, match=r"\(rf_s\) needs .* transmitter gives"):
            build("tse_3d", {**FEW["tse_3d"], "rf_s": 20e-6}, scanner, calibration)


def test_a_stronger_transmitter_shortens_nothing_and_an_even_one_changes_nothing():
    scanner = load_scanner("osii-one")
    plain = build("tse_3d", FEW["tse_3d"], scanner)
    for scale in (1.0, 1.7):
        built = build("tse_3d", FEW["tse_3d"], scanner, weak(scanner, scale))
        assert (built.seq, built.notes) == (plain.seq, ())
    assert build("tse_3d", {**FEW["tse_3d"], "rf_s": 30e-6}, scanner, weak(scanner, 1.7)).notes == ()


def test_a_nutation_series_is_never_lengthened():
    scanner = load_scanner("osii-one")
    with pytest.raises(SequenceError, match=r"\(rf_s\) needs"):
        build("nutation", {}, scanner, weak(scanner, 0.5))


def test_the_band_of_a_hard_pulse():
    t = 100e-6
    small = hard_band_hz(0.01, t, is_refocusing=False)
    assert small == pytest.approx(1.207 / t, rel=0.01)  # half of a sinc
    refocus = hard_band_hz(math.pi, t, is_refocusing=True)
    offset = math.pi * refocus  # rad/s, at its edge
    nutation = math.pi / t
    left = (nutation / math.hypot(nutation, offset)) ** 2 * math.sin(math.hypot(nutation, offset) * t / 2) ** 2
    assert left == pytest.approx(0.5, abs=0.01)
    assert hard_band_hz(math.pi, 2 * t, is_refocusing=True) == pytest.approx(refocus / 2, rel=0.01)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_none_is_a_fault_of_the_program(scale):
    with pytest.raises(ValueError, match="rf_scale"):
        Transmitter(load_scanner("osii-one"), scale)
