# SPDX-License-Identifier: MIT
"""The gate on what the compiler makes: shipped sequences pass on shipped scanners, lower limits refuse them."""

import dataclasses

import numpy as np
import pytest

from isocenter.compiler.check import check_scan
from isocenter.compiler.interpret import compile_scan
from isocenter.compiler.pulseq import read_pulseq
from isocenter.config.hardware import list_scanners, load_scanner
from isocenter.domain.errors import LimitError
from isocenter.domain.geometry import Placement
from isocenter.domain.scanner import nominal_calibration
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.sequences.build import build

SHIM = (1e-4, -2e-4, 5e-5)


@pytest.fixture(scope="module", params=list_scanners())
def compiled(request):
    scanner = load_scanner(request.param)
    calibration = dataclasses.replace(nominal_calibration(scanner), shim_t_per_m=SHIM)
    file = read_pulseq(build("frequency", {}, scanner).seq, name="frequency.seq")
    return scanner, calibration, file, compile_scan(file, scanner, calibration, Placement())


def with_axes(scanner, **changes):
    axes = tuple(
        dataclasses.replace(axis, **{name: f(axis) for name, f in changes.items()}) for axis in scanner.gradients.axes
    )
    return dataclasses.replace(scanner, gradients=dataclasses.replace(scanner.gradients, axes=axes))


@pytest.mark.parametrize("name", ["noise", "fid", "localizer"])
@pytest.mark.parametrize("scanner_name", list_scanners())
def test_shipped_sequences_pass(scanner_name, name):
    scanner = load_scanner(scanner_name)
    calibration = dataclasses.replace(nominal_calibration(scanner), shim_t_per_m=SHIM)
    scan = compile_scan(read_pulseq(build(name, {}, scanner).seq), scanner, calibration, Placement())
    report = check_scan(scan, scanner, calibration)
    assert report.findings == ()
    assert all(0 <= load <= 1 for load in report.loads.values())


def test_measured_slew_and_amplitude_are_those_of_the_file(compiled):
    scanner, calibration, file, scan = compiled
    report = check_scan(scan, scanner, calibration)
    gradients = file.gradients
    ramps = [amplitude / times[1] for amplitude, times in zip(gradients.amplitude_hz_per_m, gradients.times_s, strict=True)]
    slew = np.max(np.abs(ramps)) / GAMMA_HZ_PER_T
    peak = np.max(np.abs(gradients.amplitude_hz_per_m)) / GAMMA_HZ_PER_T
    axis = scanner.gradients.axes[0]
    measured = {kind: max(report.loads[f"{letter} gradient {kind}"] for letter in "xyz") for kind in ("slew", "amplitude")}
    np.testing.assert_allclose(measured["slew"] * axis.max_slew_t_per_m_s, slew, rtol=0.05)
    # The tip of a triangle is averaged over one update interval, and the shim of up to 0.2 mT/m comes on top.
    np.testing.assert_allclose(measured["amplitude"] * axis.max_t_per_m, peak, rtol=0.08, atol=2e-4)
    rf_peak = np.max(file.rf.amplitude_hz) / scanner.rf.full_scale_hz
    np.testing.assert_allclose(report.loads["RF amplitude"], rf_peak, rtol=0.01)


@pytest.mark.parametrize(
    ("limit", "lower"),
    [
        ("gradient slew", lambda s: with_axes(s, max_slew_t_per_m_s=lambda axis: axis.max_slew_t_per_m_s * 0.7)),
        ("gradient amplitude", lambda s: with_axes(s, max_t_per_m=lambda axis: axis.max_t_per_m * 0.3)),
        ("gradient RMS", lambda s: with_axes(s, max_rms_t_per_m=lambda axis: axis.max_rms_t_per_m * 0.02)),
        ("RF duty", lambda s: dataclasses.replace(s, rf=dataclasses.replace(s.rf, max_duty=1e-6))),
        ("RF pulse length", lambda s: dataclasses.replace(s, rf=dataclasses.replace(s.rf, max_pulse_s=50e-6))),
        ("warm-up", lambda s: dataclasses.replace(s, rf=dataclasses.replace(s.rf, warmup_s=s.rf.warmup_s + 1e-3))),
        ("hold", lambda s: dataclasses.replace(s, rf=dataclasses.replace(s.rf, hold_s=s.rf.hold_s + 1e-3))),
        ("dead time", lambda s: dataclasses.replace(s, rf=dataclasses.replace(s.rf, dead_time_s=0.5))),
    ],
)
def test_a_scanner_that_may_less_refuses_the_same_scan(compiled, limit, lower):
    scanner, calibration, _, scan = compiled
    with pytest.raises(LimitError, match=rf"(?s){limit}.*What to do: "):
        check_scan(scan, lower(scanner), calibration).raise_if_refused()
