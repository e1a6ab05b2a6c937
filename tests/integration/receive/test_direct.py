# SPDX-License-Identifier: MIT
"""The road without a wire gives what the road over the wire gives."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.domain.scenario import MagnetFaults
from isocenter.storage.stored import read_raw
from isocenter.virtual.physics.direct import simulate
from isocenter.virtual.physics.scenario import find_scenario

GRE = {"n_phase": 24, "n_slab": 4, "n_read": 48, "dummy_shots": 4}
SPIN_ECHO = {"n_phase": 8, "n_read": 48, "n_slab": 2, "tr_s": 0.4, "dummy_shots": 0, "echo_train_length": 4}


@pytest.mark.parametrize(("sequence", "parameters"), [("gre_3d", GRE), ("tse_3d", SPIN_ECHO)])
def test_both_roads_give_the_same_samples_labels_and_times(open_road, sequence, parameters):
    scenario = replace(
        find_scenario("ideal-block"), n_spins=3000, magnet=MagnetFaults(frequency_offset_hz=300.0, spread_hz=200.0)
    )
    with open_road(scenario) as road:
        prepared = road.prepare(sequence, parameters)
        stored = read_raw(road.measure(prepared))
        direct = simulate(prepared.scan, road.scanner, scenario, prepared.placement, name=sequence)
    assert len(prepared.scan.segments) > 1
    assert direct.samples.shape == stored.samples.shape
    # The pause between two segments over the wire is not that of the plan, which T1 feels a little; before, all is equal.
    first = np.count_nonzero(prepared.scan.segments[0].readouts.label("NAV") == 0)  # a reference train makes no image
    assert first > 0
    difference = direct.samples - stored.samples
    assert np.linalg.norm(difference[:first]) < 5e-6 * np.linalg.norm(stored.samples[:first])
    assert np.linalg.norm(difference) < 4e-3 * np.linalg.norm(stored.samples)
    for label, values in stored.labels.items():
        np.testing.assert_array_equal(direct.label(label), values)
    np.testing.assert_allclose(direct.time_s, stored.time_s, atol=1e-3)
    assert np.all(np.diff(direct.time_s) > 0)
    assert direct.dwell_s == pytest.approx(stored.dwell_s)
    assert (direct.lo_hz, direct.n_expected, direct.name) == (stored.lo_hz, stored.n_expected, stored.name)
    assert direct.sensor_channels == stored.sensor_channels == ()
    assert direct.noise is None
    assert stored.noise is None
