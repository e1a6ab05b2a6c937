# SPDX-License-Identifier: MIT
"""What is built can be compiled for the scanner's console and passes the last gate, in any orientation."""

import random

import pytest

from isocenter.compiler.check.gate import check_scan
from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import SequenceError
from isocenter.domain.geometry import Orientation, place
from isocenter.domain.scanner import nominal_calibration
from isocenter.sequences.build import build
from isocenter.sequences.catalogue import list_sequences, parameters

SCANNERS = ("osii-one", "physio-72mT", "osii-mini")
NAMES = [info.name for info in list_sequences()]
ONE_LINE, SEVERAL_LINES = ("eddy_currents",), ("projections", "shim_sweep")
"""Read under a gradient, but are no image."""
SMALL = {
    "n_phase": 16,
    "n_spokes": 60,
    "n_matrix": 36,
    "n_slab": 3,
    "slices": 3,
    "n_samples": 256,
    "windows": 2,
    "dummy_shots": 1,
}


def compiled(built, scanner, orientation):
    file = read_pulseq(built.seq)
    assert file.signature == "valid"
    calibration = nominal_calibration(scanner)
    scan = compile_scan(file, scanner, calibration, place(orientation))
    check_scan(scan, scanner, calibration).raise_if_refused()
    return scan


def small(name):
    return {item.name: SMALL[item.name] for item in parameters(name) if item.name in SMALL}


@pytest.mark.parametrize("scanner_name", SCANNERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_small_scan_passes_the_gate_and_reports_what_was_asked(name, scanner_name):
    scanner = load_scanner(scanner_name)
    built = build(name, small(name), scanner)
    scan = compiled(built, scanner, Orientation.SAGITTAL)
    if built.info.recon != "cartesian":
        assert (scan.encoding is None) == (name not in ONE_LINE)
        assert (scan.trajectory_per_m is None) != (built.info.recon == "noncartesian" or name in SEVERAL_LINES)
        assert not [warning for warning in scan.warnings if "grid" in warning]
        return
    nx, ny, nz = (int(n) for n in built.report["Matrix"].split())
    encoding, facts = scan.encoding, scan.facts
    assert (encoding.n_samples, encoding.n_lin) == (nx, ny)
    assert encoding.centre_sample == pytest.approx((nx - 1) / 2 if name == "epi_2d" else nx // 2, abs=1e-2)
    assert encoding.centre_lin == pytest.approx(ny // 2, abs=1e-3)
    if name in {"spin_echo_2d", "epi_2d"}:
        assert encoding.slice_positions_m.tolist() == pytest.approx([-0.01, 0.0, 0.01], abs=1e-6)
    else:
        assert encoding.n_par == nz
        assert encoding.centre_par == pytest.approx(nz // 2, abs=1e-3)
    assert facts.te_s == pytest.approx(built.report["EffectiveEchoTime"], abs=1e-6)
    assert facts.tr_s == pytest.approx(built.report["RepetitionTime"], abs=1e-6)
    assert facts.echo_train_length == built.report["EchoTrainLength"]
    assert facts.flip_rad == pytest.approx(built.report["FlipAngle"], rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("scanner_name", SCANNERS)
@pytest.mark.parametrize("name", NAMES)
def test_random_parameters_pass_the_gate(name, scanner_name):
    scanner, played = load_scanner(scanner_name), 0
    rng = random.Random(f"{name} {scanner_name}")
    for _ in range(40):
        values = small(name)
        for item in parameters(name):
            if item.kind == "number" and rng.random() < 0.3:
                values[item.name] = item.default * rng.uniform(0.5, 2.0)
        try:
            built = build(name, values, scanner)
        except SequenceError:
            continue
        compiled(built, scanner, rng.choice(list(Orientation)))
        played += 1
    assert played >= 5
