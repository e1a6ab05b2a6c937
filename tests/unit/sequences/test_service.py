# SPDX-License-Identifier: MIT
"""Sequences of service calibrations: where k-space is crossed, and when things happen."""

import numpy as np
import pytest

from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import SequenceError
from isocenter.sequences.build import build

SCANNERS = ("osii-one", "physio-72mT", "osii-mini")


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize("shift_s", [0.0, 0.5e-3])
def test_projections_cross_the_middle_both_ways(kspace_of, scanner, shift_s):
    values = {"fov_m": 0.24, "n_read": 65, "averages": 1, "dummy_shots": 1, "shift_s": shift_s, "te_s": 0.02}
    scan = kspace_of("projections", values, scanner)
    steps = (np.arange(65) - 32) / 0.24
    for row, (axis, way) in enumerate(zip(scan.labels["SET"], scan.labels["REV"], strict=True)):
        wanted = np.zeros((3, 65))
        wanted[axis] = steps * (-1 if way else 1)
        np.testing.assert_allclose(scan.k[:, row], wanted, atol=0.02)
    assert list(zip(scan.labels["SET"], scan.labels["REV"], strict=True)) == [(a, w) for a in range(3) for w in (0, 1)]
    excited = np.asarray(scan.excited_s)[1:]  # after the dummy
    assert scan.t[:, 32] - excited == pytest.approx(0.02 + shift_s, abs=2e-6)


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_eddy_currents_are_asked_for_at_their_delays(read_back, scanner, axis):
    values = {"axis": axis, "n_delays": 5, "n_read": 33, "dummy_shots": 1, "averages": 1}
    built = build("eddy_currents", values, load_scanner(scanner))
    seq = read_back(built)
    delays_s = [float(word) for word in built.report["Delays"].strip("[]").replace(",", " ").split()]
    assert delays_s[-1] / delays_s[0] > 1000
    k, _, excited_s, _, t = seq.calculate_kspace()
    excited_s = np.asarray(excited_s)
    assert np.diff(excited_s) == pytest.approx(0.6, abs=1e-6)
    labels = seq.evaluate_labels(evolution="adc")
    middle = t.reshape(15, -1)[:, 16] - excited_s[1:]
    assert middle == pytest.approx(0.005, abs=2e-6)
    along = k.reshape(3, 15, -1)["xyz".index(axis)]
    assert along[:, 16] == pytest.approx(0, abs=0.02)
    waves = seq.waveforms_and_times()[0]["xyz".index(axis)]
    for shot, (number_of, phase) in enumerate(zip(labels["SET"], labels["PHS"], strict=True)):
        before = (waves[0] < excited_s[shot + 1]) & (waves[0] > excited_s[shot + 1] - 0.4)
        times, heights = waves[0][before], waves[1][before]
        if phase == 1:
            assert not np.any(np.abs(heights) > 1)
            continue
        played = np.abs(heights) > 1e-6 * np.abs(heights).max()
        assert np.sign(heights[played]).max() == np.sign(heights[played]).min() == (1, 0, -1)[phase]
        end = times[np.flatnonzero(played)[-1] + 1] if np.flatnonzero(played)[-1] + 1 < len(times) else times[-1]
        assert excited_s[shot + 1] - end == pytest.approx(delays_s[number_of], abs=2e-6)


def test_a_steady_drift_cancels_between_two_averages(read_back):
    seq = read_back(build("eddy_currents", {"n_delays": 4, "n_read": 33}, load_scanner("osii-one")))
    labels = seq.evaluate_labels(evolution="adc")
    order = np.arange(len(labels["PHS"]))
    mean = [[order[(labels["SET"] == d) & (labels["PHS"] == phase)].mean() for phase in range(3)] for d in range(4)]
    assert np.ptp(np.array(mean), axis=1) == pytest.approx(0)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("projections", {"te_s": 0.004}, "Set TE to"),
        ("projections", {"tr_s": 0.02}, "Set TR to"),
        ("eddy_currents", {"te_s": 0.001}, "Set TE to"),
        ("eddy_currents", {"tr_s": 0.2}, "Set TR to"),
        ("eddy_currents", {"first_delay_s": 0.00005}, "Set it to"),
        ("eddy_currents", {"gradient_t_per_m": 0.05}, "mT/m or less"),
        ("eddy_currents", {"ramp_s": 0.0001, "gradient_t_per_m": 0.008}, "Set it between"),
    ],
)
def test_what_cannot_be_played_says_what_would_do(name, values, words):
    with pytest.raises(SequenceError) as caught:
        build(name, values, load_scanner("osii-one"))
    assert words in caught.value.remedy
