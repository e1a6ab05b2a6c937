# SPDX-License-Identifier: MIT
"""Small scans of scenarios, compiled and played without a wire: what they are there for shows in the images."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import Orientation, place
from isocenter.domain.scanner import nominal_calibration
from isocenter.recon.cartesian import reconstruct
from isocenter.sequences.build import build
from isocenter.virtual.phantoms.acr import acr_geometry
from isocenter.virtual.physics.direct import simulate
from isocenter.virtual.physics.scenario import find_scenario

GRE = {"n_phase": 32, "n_slab": 4, "n_read": 32, "dummy_shots": 2, "fov_read_m": 0.22, "fov_phase_m": 0.22}

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops


def scanned(scenario, sequence="gre_3d", values=GRE, orientation=Orientation.AXIAL):
    scanner = load_scanner(scenario.scanner or "osii-one")
    calibration = nominal_calibration(scanner)
    calibration = replace(calibration, larmor_hz=calibration.larmor_hz + scenario.magnet.frequency_offset_hz)
    placement = place(orientation, scenario.position)
    scan = compile_scan(read_pulseq(build(sequence, values, scanner).seq), scanner, calibration, placement)
    return simulate(scan, scanner, scenario, placement)


def test_four_coils_see_four_sides_and_one_head():
    raw = scanned(replace(find_scenario("four-coils"), n_spins=6000))
    assert raw.samples.shape[1] == 4
    assert raw.sensor_channels == ()
    single = [reconstruct(replace(raw, samples=raw.samples[:, coil : coil + 1]))[0] for coil in range(4)]
    pictures = np.stack([np.abs(volume.data) for volume in single])
    rows, columns = np.indices(pictures.shape[2:])
    weight = pictures.sum(axis=1)
    middles = np.stack([(weight * rows).sum((1, 2)), (weight * columns).sum((1, 2))]) / weight.sum((1, 2))
    assert np.linalg.norm(middles - middles.mean(axis=1, keepdims=True), axis=0).min() > 1.0
    together = np.abs(reconstruct(raw)[0].data)
    one = np.abs(reconstruct(scanned(replace(find_scenario("osii-one-brain"), n_spins=6000)))[0].data)
    assert np.corrcoef(together.ravel(), one.ravel())[0, 1] > 0.9


def test_the_small_acr_object_has_its_diameter():
    found = acr_geometry(0.1 / 0.19)
    scenario = replace(find_scenario("acr-qa"), phantom="acr-small", n_spins=150_000, coil=find_scenario("ideal").coil)
    values = {"n_read": 48, "n_phase": 48, "n_slab": 6, "fov_read_m": 0.12, "fov_phase_m": 0.12, "fov_slab_m": 0.09}
    volume = reconstruct(scanned(scenario, values={**GRE, **values}))[0]
    heights = [volume.geometry.lps_m(np.array([k, 24, 24]))[2] for k in range(volume.data.shape[0])]
    picture = np.abs(volume.data[int(np.argmin(np.abs(np.array(heights) - sum(found.uniform_m) / 2)))])
    area_m2 = (
        (picture > np.median(picture[18:30, 18:30]) / 2).sum() * volume.geometry.spacing_m[1] * volume.geometry.spacing_m[2]
    )
    assert 2 * np.sqrt(area_m2 / np.pi) == pytest.approx(found.diameter_m, abs=0.002)
