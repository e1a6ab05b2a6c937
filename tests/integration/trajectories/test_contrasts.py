# SPDX-License-Identifier: MIT
"""What the sequences are for: T2 from echoes, T1 from inversion, frequency from two evolutions, on the virtual scanner."""

import numpy as np
import pytest

from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import Orientation, place
from isocenter.domain.scanner import nominal_calibration
from isocenter.domain.scenario import MagnetFaults, Scenario
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.options import ReconOptions
from isocenter.sequences.build import build
from isocenter.virtual.phantoms.catalogue import find_phantom
from isocenter.virtual.physics.direct import simulate

PLACEMENT = place(Orientation.AXIAL)
SMALL = {"n_read": 16, "n_phase": 12, "n_slab": 6, "fov_slab_m": 0.22}
WATER = find_phantom("sphere").tissues[0]


def images(name, values, magnet=None, scanner_name="osii-one"):
    """Report and complex images of a homogeneous sphere."""
    scanner = load_scanner(scanner_name)
    built = build(name, SMALL | values, scanner)
    scan = compile_scan(read_pulseq(built.seq), scanner, nominal_calibration(scanner), PLACEMENT)
    scenario = Scenario(
        phantom="sphere", n_spins=4000, has_t2_prime=False, has_chemical_shift=False, magnet=magnet or MagnetFaults()
    )
    raw = simulate(scan, scanner, scenario, PLACEMENT)
    return built.report, [volume.data for volume in reconstruct(raw, options=ReconOptions(keep_phase=True))]


def inside(image):
    """Mean over the middle of the sphere."""
    middle = tuple(slice(n // 2 - 1, n // 2 + 2) for n in image.shape)
    return np.abs(image[middle]).mean()


def numbers(report, name):
    return np.array([float(word) for word in report[name].split()])


@pytest.mark.parametrize("scanner_name", ["osii-one", "physio-72mT"])
def test_t2_comes_out_of_the_echoes(scanner_name):
    report, echoes = images("t2_map", {"echo_train_length": 8, "tr_s": 0.8}, scanner_name=scanner_name)
    times_s = numbers(report, "EchoTimes")
    assert len(echoes) == 8
    slope = np.polyfit(times_s, np.log([inside(echo) for echo in echoes]), 1)[0]
    assert -1 / slope == pytest.approx(WATER.t2_s, rel=0.01)


def test_t1_comes_out_of_the_inversion():
    """TR is seven T1, so that each inversion meets the full magnetisation."""
    common = {"tr_s": 1.2, "order": "centre-out", "echo_train_length": 4, "dummy_shots": 2}
    full = inside(images("tse_3d", common)[1][0])
    for ti_s in (0.05, 0.2, 0.4):
        got = inside(images("tse_3d", common | {"ti_s": ti_s})[1][0])
        recovered = 1 - 2 * np.exp(-ti_s / WATER.t1_s)
        assert got / full == pytest.approx(abs(recovered), abs=0.01)


@pytest.mark.parametrize(
    ("name", "values", "step_s"),
    [
        ("b0_map", {"step_s": 4e-4, "echo_train_length": 4}, 4e-4),
        ("b0_map", {"method": "gradient echo", "step_s": 1e-3, "tr_s": 0.05}, 1e-3),
    ],
)
@pytest.mark.parametrize("offset_hz", [150.0, -300.0])
def test_the_field_map_sequence_shows_an_offset_with_its_sign(name, values, step_s, offset_hz):
    report, (first, second) = images(name, values, MagnetFaults(frequency_offset_hz=offset_hz))
    assert np.diff(numbers(report, "EvolutionTimes"))[0] == pytest.approx(step_s)
    bright = np.abs(first) > 0.5 * np.abs(first).max()
    measured_hz = np.angle(second * np.conj(first))[bright] / (2 * np.pi * step_s)
    # an offset shifts along read as well, equally in both
    assert np.median(measured_hz) == pytest.approx(offset_hz, abs=3)
    assert np.percentile(np.abs(measured_hz - offset_hz), 90) < 25  # few spins, and edges


def test_bssfp_reaches_the_signal_of_its_closed_form():
    """On resonance with TE of half TR: M0 sin a (1 - E1) / (1 - (E1 - E2) cos a - E1 E2) exp(-TE / T2)."""
    flip, tr_s = np.pi / 3, 0.01
    bssfp = inside(images("bssfp_3d", {"tr_s": tr_s, "flip_rad": flip})[1][0])
    spoiled = inside(images("gre_3d", {"tr_s": 1.5, "te_s": 0.008, "flip_rad": np.pi / 2, "dummy_shots": 2})[1][0])
    e1, e2 = np.exp(-tr_s / WATER.t1_s), np.exp(-tr_s / WATER.t2_s)
    wanted = np.sin(flip) * (1 - e1) / (1 - (e1 - e2) * np.cos(flip) - e1 * e2) * np.exp(-tr_s / 2 / WATER.t2_s)
    assert bssfp / spoiled == pytest.approx(wanted / np.exp(-0.008 / WATER.t2_s), rel=0.02)
