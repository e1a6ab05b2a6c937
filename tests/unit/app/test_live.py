# SPDX-License-Identifier: MIT
"""Pictures that form while a scan is measured in a noisy ward."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from isocenter.app.live import LivePictures
from isocenter.app.prepare import prepare
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Prescription, Protocol
from isocenter.domain.scanner import nominal_calibration
from isocenter.virtual.physics.direct import simulate
from isocenter.virtual.physics.scenario import find_scenario

SIZES = {"n_read": 48, "n_phase": 60, "n_slab": 4, "echo_train_length": 10, "tr_s": 0.3}


@pytest.fixture(scope="module")
def ward():
    scanner = load_scanner("osii-one")
    scanner = replace(scanner, receiver=replace(scanner.receiver, n_sensors=1))
    protocol = Protocol(name="x", sequence="tse_3d", parameters=SIZES, prescription=Prescription())
    prepared = prepare(protocol, scanner, nominal_calibration(scanner), PatientPosition.HFS)
    scenario = replace(find_scenario("noisy-ward"), n_spins=4000, n_sensors=1)
    scenario = replace(scenario, interference=scenario.interference[:1])
    return prepared, simulate(prepared.scan, scanner, scenario, prepared.placement, with_navigators=True)


def background(prepared, samples):
    """Mean of the last live picture away from the middle, where the head is."""
    shown, seen = [], threading.Event()
    with LivePictures(prepared, lambda volumes, _: (shown.append(volumes[0].data), seen.set())) as live:
        for segment in np.unique(prepared.scan.segment_of_readout):
            rows = np.flatnonzero(prepared.scan.segment_of_readout == segment)
            seen.clear()
            readouts = prepared.scan.readouts.slice(int(rows[0]), int(rows[-1]) + 1)
            live.add(readouts, samples[rows])
            if (readouts.label("NAV") == 0).any():  # a reference train alone shows nothing
                assert seen.wait(300)  # the first compiles, on a new clone
    edges = np.ones(shown[-1].shape[1:], dtype=bool)
    edges[4:-4, 4:-4] = False
    return float(np.abs(shown[-1][:, edges]).mean())


def test_live_pictures_lose_the_interference_that_a_sensor_hears(ward):
    prepared, raw = ward
    heard, cleaned = background(prepared, raw.samples[:, 0]), background(prepared, raw.samples)
    assert cleaned < 0.7 * heard  # the first lines teach; only the final pictures lose it in those too
