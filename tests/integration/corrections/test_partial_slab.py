# SPDX-License-Identifier: MIT
"""Few partitions of which some were left out, as our sequences leave them out, on the virtual scanner."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from isocenter.domain.pipeline import StepOrder
from isocenter.recon.cartesian import reconstruct
from isocenter.recon.defaults import CARTESIAN

_SPEC = importlib.util.spec_from_file_location("partial_scans", Path(__file__).with_name("conftest.py"))
scans = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(scans)

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops

ZEROS = tuple(order for order in CARTESIAN if order.step != "partial_fourier")
AT = [order.step for order in ZEROS].index("filter")
SMALL = {"fov_slab_m": 0.2, "n_read": 32, "n_phase": 32, "tr_s": 0.3, "dummy_shots": 2}


def filled_by(method):
    return (*ZEROS[:AT], StepOrder(step="partial_fourier", parameters={"method": method}), *ZEROS[AT:])


@pytest.mark.parametrize("sequence", ["tse_3d", "gre_3d"])
@pytest.mark.parametrize(("n_slab", "percent"), [(8, 75), (9, 78), (12, 75)])
def test_partitions_left_out_are_filled(sequence, n_slab, percent):
    values = SMALL | {"n_slab": n_slab}
    whole = scans.measured(sequence, values, phantom="sphere")
    part = scans.measured(sequence, values | {"partial_slab": 0.7}, phantom="sphere")
    truth = reconstruct(whole, pipeline=ZEROS)[0].data
    # What the first partition of an even number adds has no opposite, so it cannot come back.
    keep = np.flatnonzero((whole.label("PAR") > 0) | (n_slab % 2 == 1))
    floor = np.linalg.norm(reconstruct(_rows(whole, keep), pipeline=ZEROS)[0].data - truth)
    left = np.linalg.norm(reconstruct(part, pipeline=ZEROS)[0].data - truth) - floor
    for method in ("pocs", "homodyne"):
        found = reconstruct(part, pipeline=filled_by(method))[0]
        assert f"{percent} % of par measured" in dict(found.provenance)["partial_fourier"]
        rest = np.linalg.norm(found.data - truth) - floor
        print(f"{sequence} {n_slab} {method}: {rest / left:.2f} of the error left")
        assert rest < 0.5 * left


def _rows(raw, rows):
    values = {name: getattr(raw, name) for name in raw.__dataclass_fields__}
    kept = {"samples": raw.samples[rows], "labels": {name: label[rows] for name, label in raw.labels.items()}}
    empty = {name: np.zeros(0) for name in ("time_s", "evolution_s")}
    return type(raw)(**(values | kept | empty | {"n_expected": len(rows)}))
