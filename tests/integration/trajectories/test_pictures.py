# SPDX-License-Identifier: MIT
"""Radial, spiral, PETRA and EPI scans of the marked block: compiled, played on the virtual scanner, reconstructed along the
trajectory or encoding that the compiler gives. The block must have its size, its place and its notches on the right sides,
on tilted and shifted slices too.
"""

import numpy as np
import pytest

from isocenter.compiler.check.gate import check_scan
from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import CompileError
from isocenter.domain.geometry import Orientation, PatientPosition, place
from isocenter.domain.pipeline import StepOrder
from isocenter.domain.scanner import nominal_calibration
from isocenter.domain.scenario import GradientFaults, Scenario
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.defaults import default_pipeline
from isocenter.recon.nufft.noncartesian import reconstruct_noncartesian
from isocenter.sequences.build import build
from isocenter.virtual.physics.direct import simulate
from isocenter.virtual.physics.phantoms import density_map

RADIAL = {"n_spokes": 70, "n_read": 48, "thickness_m": 0.02, "dummy_shots": 4}
SPIRAL = {"n_matrix": 48, "n_interleaves": 12, "thickness_m": 0.02, "dummy_shots": 4}
PETRA = {"n_spokes": 500, "n_matrix": 20, "bandwidth_hz": 8e3, "tr_s": 0.02, "dummy_shots": 10}


def measure(name, values, scanner_name, placement, n_spins=12000):
    scanner = load_scanner(scanner_name)
    calibration = nominal_calibration(scanner)
    scan = compile_scan(read_pulseq(build(name, values, scanner).seq), scanner, calibration, placement)
    check_scan(scan, scanner, calibration).raise_if_refused()
    scenario = Scenario(
        phantom="block", n_spins=n_spins, has_t2_prime=False, has_chemical_shift=False, position=placement.position
    )
    return simulate(scan, scanner, scenario, placement)


def picture(*args, **options):
    (image,) = reconstruct_noncartesian(measure(*args, **options))
    return image.volume


def truth_of(volume, phantom="block"):
    geometry, shape = volume.geometry, volume.data.shape
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    axes = np.stack([geometry.slice_direction, geometry.column_direction, geometry.row_direction])
    edges_m = axes * np.array([geometry.slice_thickness_m, *geometry.spacing_m[1:]])[:, None]
    return density_map(phantom, geometry.lps_m(index), edges_m, supersample=3)


def edges(profile):
    """Where a profile rises above and falls below half of its middle, in voxels between samples."""
    half = np.median(profile[profile > 0.5 * profile.max()]) / 2
    inside = np.flatnonzero(profile > half)
    low, high = inside[0], inside[-1]
    first = low - (profile[low] - half) / (profile[low] - profile[low - 1])
    last = high + (profile[high] - half) / (profile[high] - profile[high + 1])
    return np.array([first, last])


def assert_true(volume, least=0.93):
    image, truth = np.abs(volume.data), truth_of(volume)
    correlation = np.corrcoef(image.ravel(), truth.ravel())[0, 1]
    assert correlation > least
    for flip in (1, 2, (1, 2)):  # the notches are small, so mirrored pictures are nearly as alike
        assert correlation > np.corrcoef(np.flip(image, flip).ravel(), truth.ravel())[0, 1] + 0.005
    for axis in (1, 2) if image.shape[0] < 8 else (0, 1, 2):
        others = tuple(other for other in range(3) if other != axis)
        assert np.abs(edges(image.sum(axis=others)) - edges(truth.sum(axis=others))).max() < 1
    return correlation


@pytest.mark.parametrize(
    ("scanner", "placement", "changes"),
    [
        ("osii-one", place(Orientation.AXIAL, centre_lps_m=(0.02, -0.01, 0.0)), {}),
        pytest.param(
            "physio-72mT",
            place(Orientation.AXIAL, tilt_rad=(0.15, -0.1)),
            {"golden": False, "averages": 2},
            marks=pytest.mark.slow,
        ),
        ("osii-mini", place(Orientation.CORONAL, PatientPosition.FFP, (0.0, 0.012, 0.01)), {"slices": 3, "tr_s": 0.2}),
    ],
)
def test_radial(scanner, placement, changes):
    volume = picture("radial_2d", RADIAL | changes, scanner, placement)
    assert volume.data.shape == (changes.get("slices", 1), 48, 48)
    assert_true(volume)


@pytest.mark.parametrize(
    ("scanner", "placement"),
    [
        pytest.param("osii-one", place(Orientation.AXIAL), marks=pytest.mark.slow),
        ("physio-72mT", place(Orientation.AXIAL, centre_lps_m=(0.03, -0.02, 0.01))),
        pytest.param(
            "osii-mini",
            place(Orientation.AXIAL, centre_lps_m=(-0.02, 0.04, 0.0), tilt_rad=(0.1, 0.1)),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_spiral_also_off_the_isocenter(scanner, placement):
    assert_true(picture("spiral_2d", SPIRAL, scanner, placement))


def test_a_spiral_too_far_off_the_isocenter_is_refused_before_the_scan():
    with pytest.raises(CompileError, match=r"160\.0 mm off the isocenter.*receiver's band\.\n.*to within 11\d\.\d mm"):
        picture("spiral_2d", SPIRAL, "osii-one", place(Orientation.AXIAL, centre_lps_m=(0.16, 0.0, 0.0)))


@pytest.mark.parametrize(
    ("scanner", "placement"),
    [
        ("osii-one", place(Orientation.AXIAL, centre_lps_m=(0.02, -0.01, 0.015))),
        pytest.param("osii-mini", place(Orientation.SAGITTAL, tilt_rad=(0.1, 0.1)), marks=pytest.mark.slow),
    ],
)
def test_petra(scanner, placement):
    assert_true(picture("petra_3d", PETRA, scanner, placement, n_spins=6000), least=0.9)


@pytest.mark.parametrize(
    ("scanner", "placement", "changes"),
    [
        ("osii-one", place(Orientation.AXIAL, centre_lps_m=(0.02, -0.01, 0.0)), {"shots": 8}),
        ("physio-72mT", place(Orientation.AXIAL, tilt_rad=(0.15, -0.1)), {"shots": 1, "te_s": 0.08, "n_phase": 39}),
    ],
)
def test_epi(scanner, placement, changes):
    values = {"n_read": 40, "n_phase": 40, "thickness_m": 0.02, "dummy_shots": 1, "tr_s": 1.0} | changes
    raw = measure("epi_2d", values, scanner, placement)
    assert np.any(raw.label("REV"))
    (volume,) = reconstruct(raw)
    assert_true(volume, least=0.97)


def test_epi_reference_lines_take_the_ghost_of_a_late_gradient_away():
    """Gradients that come 8 us late part lines forth and back by 0.8 of a sample; the references of the scan say so."""
    scanner, placement = load_scanner("osii-one"), place(Orientation.AXIAL)
    values = {"n_read": 40, "n_phase": 40, "shots": 1, "te_s": 0.08, "thickness_m": 0.02, "dummy_shots": 0, "tr_s": 1.0}
    scan = compile_scan(read_pulseq(build("epi_2d", values, scanner).seq), scanner, nominal_calibration(scanner), placement)

    def outside(delay_s, method):
        """Share of the energy away from the sphere."""
        scenario = Scenario(
            phantom="sphere",
            n_spins=12000,
            has_t2_prime=False,
            has_chemical_shift=False,
            gradients=GradientFaults(delay_s=(delay_s,) * 3),
        )
        raw = simulate(scan, scanner, scenario, placement, with_navigators=True)
        assert np.count_nonzero(raw.label("NAV")) == 3
        orders = [
            StepOrder(step=order.step, parameters={"method": method} if order.step == "ghost" else {})
            for order in default_pipeline("cartesian")
            if method or order.step != "ghost"
        ]
        (volume,) = reconstruct(raw, pipeline=orders)
        energy = np.abs(volume.data) ** 2
        return float(energy[truth_of(volume, "sphere") == 0].sum() / energy.sum())

    floor, ghost, left = outside(0.0, ""), outside(8e-6, ""), outside(8e-6, "reference")
    assert ghost > 10 * floor
    assert left - floor < 0.05 * (ghost - floor)
