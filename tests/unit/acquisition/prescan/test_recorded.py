# SPDX-License-Identifier: MIT
"""What a scanner at 0.055 T recorded: its noise is no frequency and no flip angle; its echoes give the known amplitude.

No recorded series of flip angles is public as far as we know: echo and noise are recorded, the angles between are ours.
"""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from isocenter.acquisition.prescan.frequency import Doubt, Refusal, measure_frequency
from isocenter.acquisition.prescan.nutation import Nutation, fit_nutation
from isocenter.domain.geometry import Placement
from isocenter.domain.raw import RawScan

ULF = Path(__file__).parents[3] / "golden" / "ulf"
OUTER = (0, 1, 2, 3, -4, -3, -2, -1)  # lines of k-space in which next to nothing of the head is left
DWELL_S = 1 / 20e3
X = np.arange(1, 17) / 16


@pytest.fixture(scope="module", params=["flair", "fse", "gre"])
def record(request):
    """Lines with noise alone, (32, n), and the echo of each slice, (4, n); columns that are zero-filled left out."""
    kspace = scipy.io.loadmat(ULF / f"{request.param}_kspace.mat")["kspace"][:, 6:-6] / 100.0
    noise = kspace[OUTER, :, :].transpose(2, 0, 1).reshape(-1, kspace.shape[1])
    echoes = [kspace[np.argmax(np.abs(kspace[..., cut]).max(axis=1)), :, cut] for cut in range(kspace.shape[2])]
    assert np.abs(noise).max() > 0
    return noise, np.array(echoes)


def raw_of(shots):
    return RawScan(
        samples=np.asarray(shots, dtype=np.complex64)[:, None],
        labels={},
        dwell_s=DWELL_S,
        lo_hz=2.34e6,
        encoding=None,
        placement=Placement(),
        facts=None,
    )


def test_recorded_noise_is_no_frequency(record):
    noise, _ = record
    for first in range(0, len(noise), 2):
        got = measure_frequency(raw_of(noise[first : first + 2]))
        assert isinstance(got, Refusal), got
        assert got.doubt in {Doubt.NO_SIGNAL, Doubt.SPUR, Doubt.SPLIT}


@pytest.mark.parametrize("offset_hz", [-6100.0, 50.0, 3210.0])
def test_a_tone_in_recorded_noise_is_interference(record, offset_hz):
    noise, _ = record
    time_s = np.arange(noise.shape[1]) * DWELL_S
    for first in range(0, len(noise), 2):
        tones = [np.exp(2j * np.pi * offset_hz * time_s + 1j * phase) for phase in (0.3, 2.1)]  # it goes on between shots
        got = measure_frequency(raw_of(noise[first : first + 2] + 4 * np.std(noise) * np.array(tones)))
        assert isinstance(got, Refusal), got


def test_recorded_noise_is_no_flip_angle(record):
    noise, echoes = record
    for echo in echoes:
        seen = noise[: len(X)] @ (echo.conj() / np.linalg.norm(echo))
        for series in (seen, np.abs(seen)):
            got = fit_nutation(X, series)
            assert isinstance(got, Refusal), got


@pytest.mark.parametrize("a90", [0.23, 0.41, 0.62])
@pytest.mark.parametrize("kind", [np.asarray, np.abs], ids=["complex", "magnitude"])
def test_a_recorded_echo_that_nutates_gives_its_amplitude_within_half_a_percent(record, a90, kind):
    noise, echoes = record
    for number, echo in enumerate(echoes):
        lines = np.sin(np.pi / 2 * X / a90)[:, None] * echo + np.roll(noise, 7 * number, axis=0)[: len(X)]
        got = fit_nutation(X, kind(lines @ (echo.conj() / np.linalg.norm(echo))))
        assert isinstance(got, Nutation), got
        assert got.a90 == pytest.approx(a90, rel=0.005)
