# SPDX-License-Identifier: MIT
"""The whole prescan over the wire: it finds what is wrong within its tolerances, and fast enough."""

import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.steps import clinical_steps
from isocenter.domain.scenario import CoilFaults, MagnetFaults
from isocenter.domain.units import GAMMA_HZ_PER_T

pytestmark = pytest.mark.timeout(300)


def test_forty_kilohertz_off_half_the_power_and_a_slanted_field_in_two_and_a_half_minutes(bench_of):
    bench = bench_of(
        magnet=MagnetFaults(frequency_offset_hz=40_000.0, harmonics_hz={"x": 500.0, "y": -300.0, "z": 200.0}),
        coil=CoilFaults(transmit_scale=0.5, b1_fall_db=0.3),
    )
    results = bench.run(*clinical_steps(bench.scanner))
    assert list(results) == [
        "noise",
        "coarse_frequency",
        "fine_frequency",
        "receive_gain",
        "transmit_power",
        "linear_shim",
        "final_frequency",
    ]
    assert all(result.verdict in {Verdict.PASS, Verdict.WARN} for result in results.values())
    assert all(result.plots for result in results.values())
    calibration = bench.calibration
    assert calibration.larmor_hz - bench.scanner.magnet.larmor_hz == pytest.approx(40_000.0, abs=50.0)
    assert calibration.rf_scale == pytest.approx(0.5, rel=0.03)
    at_radius = GAMMA_HZ_PER_T * bench.scanner.magnet.imaging_diameter_m / 2
    wanted = [-500.0 / at_radius, 300.0 / at_radius, -200.0 / at_radius]
    assert list(calibration.shim_t_per_m) == pytest.approx(wanted, abs=0.01e-3)
    assert bench.played_s <= 150.0
