# SPDX-License-Identifier: MIT
"""Pauses between segments, in which the shim is off, leave no trace in pictures of fluid that remembers the shots before."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.domain.scanner import nominal_calibration
from isocenter.domain.scenario import MagnetFaults
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.recon.cartesian import reconstruct
from isocenter.sequences.build import build
from isocenter.virtual.phantoms.vials import VIALS
from isocenter.virtual.physics.direct import simulate

_SPEC = importlib.util.spec_from_file_location("pauses_between_vials", Path(__file__).with_name("conftest.py"))
scans = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(scans)

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops

SHIM = (0.05e-3, -0.04e-3, 0.03e-3)  # what a shimmed osii-one needs
TSE = scans.TSE | {
    "fov_slab_m": 0.08,
    "echo_train_length": 5,
    "order": "centre-out",
    "tr_s": 0.3,
    "dummy_shots": 4,
    "reference_shots": 0,
}
GRE = scans.TSE | {"tr_s": 0.03, "te_s": 0.01, "flip_rad": 0.5, "dummy_shots": 60}
GRE = {name: value for name, value in GRE.items() if name != "echo_train_length"}


def played(sequence, values, *, whole=False, late_s=0.0, shim=SHIM):
    """Magnitude of a scan with this shim in a magnet that needs it; every third pause may be too long."""
    scanner = scans.SCANNER
    need_hz = scanner.gradients.channel_from_device.T @ np.array(shim) * GAMMA_HZ_PER_T
    need_hz *= scanner.magnet.imaging_diameter_m / 2
    magnet = MagnetFaults(harmonics_hz={name: -float(value) for name, value in zip("xyz", need_hz, strict=True)})
    calibration = replace(nominal_calibration(scanner), shim_t_per_m=shim)
    file = read_pulseq(build(sequence, values, scanner).seq)
    scan = compile_scan(file, scanner, calibration, scans.AXIAL, max_segment_s=np.inf if whole else None)
    assert whole or len(scan.segments) > 10
    moved = (replace(each, start_s=each.start_s + (late_s if each.index % 3 == 1 else 0.0)) for each in scan.segments)
    raw = simulate(replace(scan, segments=tuple(moved)), scanner, replace(scans.QUIET, magnet=magnet), scans.AXIAL)
    return np.abs(reconstruct(raw)[0].data).astype(float)


def apart(found, wanted):
    """Largest difference over the largest value."""
    return float(np.abs(found - wanted).max() / wanted.max())


@pytest.mark.parametrize(("sequence", "values", "most"), [("tse_3d", TSE, 0.005), ("gre_3d", GRE, 0.01)])
def test_a_scan_in_segments_is_the_scan_in_one_piece(sequence, values, most):
    """TR 0.3 s holds a pause behind every second shot, 30 ms hold none; the longest T2 is 0.8 s."""
    assert max(tissue.t2_s for tissue in VIALS) == pytest.approx(0.8)
    whole = played(sequence, values, whole=True)
    found = apart(played(sequence, values), whole)
    print(f"{sequence}: {100 * found:.2f} % of the maximum")
    assert found < most


def test_a_pause_that_is_not_kept_leaves_little_in_a_turbo_spin_echo():
    """Spoilers that point in other directions from shot to shot: nothing comes back that the pause could have turned."""
    whole = played("tse_3d", TSE, whole=True)
    found = apart(played("tse_3d", TSE, late_s=1e-3), whole)
    print(f"1 ms late: {100 * found:.2f} % of the maximum")
    assert found < 0.02
