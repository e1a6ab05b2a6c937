# SPDX-License-Identifier: MIT
"""Small scans of vials on a virtual scanner with one thing wrong at a time."""

from dataclasses import replace

import numpy as np

from isocenter.compiler.interpret.scan import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import Orientation, place
from isocenter.domain.scanner import nominal_calibration
from isocenter.domain.scenario import Scenario
from isocenter.sequences.build import build
from isocenter.virtual.phantoms.vials import VIAL_CIRCLE_M, vial_centres_m
from isocenter.virtual.physics.direct import simulate

SCANNER = load_scanner("osii-one")
AXIAL = place(Orientation.AXIAL)
QUIET = Scenario(phantom="vials", n_spins=8_000, has_t2_prime=False, has_chemical_shift=False)
TSE = {
    "fov_read_m": 0.16,
    "fov_phase_m": 0.16,
    "fov_slab_m": 0.064,
    "n_read": 48,
    "n_phase": 32,
    "n_slab": 4,
    "echo_train_length": 8,
    "tr_s": 0.4,
    "dummy_shots": 1,
}


def compiled(sequence, values, placement=AXIAL):
    return compile_scan(read_pulseq(build(sequence, values, SCANNER).seq), SCANNER, nominal_calibration(SCANNER), placement)


def measured(sequence, values, placement=AXIAL, *, with_navigators=False, **faults):
    """Raw data of a scan; ``faults`` replace parts of the quiet scenario."""
    scan = compiled(sequence, values, placement)
    return simulate(scan, SCANNER, replace(QUIET, **faults), placement, with_navigators=with_navigators)


def places_mm(volume, slices, centres_m=None):
    """Where the vials show in some slices: centres of brightness, patient axes [mm], shape (n_vials, 3)."""
    if centres_m is None:
        centres_m = vial_centres_m(8)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in volume.data.shape), indexing="ij"), axis=-1)[slices]
    lps = volume.geometry.lps_m(index)
    power = np.abs(volume.data[slices]).astype(float) ** 2
    power = power * (power > 0.02 * power.max())
    found = []
    for centre in centres_m:
        here = np.array(centre, dtype=float)
        for _ in range(12):
            near = power * ((lps[..., 0] - here[0]) ** 2 + (lps[..., 1] - here[1]) ** 2 < 0.015**2)
            total = near.sum()
            assert total > 0, f"vial at {centre} is lost"
            here = (lps * near[..., None]).reshape(-1, 3).sum(axis=0) / total
        found.append(here)
    assert VIAL_CIRCLE_M > 0
    return 1e3 * np.array(found)


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))
