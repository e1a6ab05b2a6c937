# SPDX-License-Identifier: MIT
"""Plain arrays with sensors, as other laboratories publish them: one variable for the coil, one for each sensor."""

import numpy as np
import pytest

from isocenter.domain.errors import ReconError
from isocenter.recon.foreign_sensors import clean_plain

N_SAMPLES, N_LINES = 160, 64


@pytest.fixture
def ward():
    rng = np.random.default_rng(5)

    def noise(*shape):
        return rng.normal(size=shape) + 1j * rng.normal(size=shape)

    image = np.zeros((N_SAMPLES, N_LINES))
    image[60:100, 20:45] = 1.0
    clean = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image))).astype(np.complex64) + noise(N_SAMPLES, N_LINES)
    source = 30 * noise(N_SAMPLES + 8, N_LINES)
    taps = noise(3, 5)
    sensors = [sum(h * source[d : d + N_SAMPLES] for d, h in enumerate(row)) + noise(N_SAMPLES, N_LINES) for row in taps]
    heard = source[4 : 4 + N_SAMPLES] + 0.3j * source[3 : 3 + N_SAMPLES]
    return clean, (clean + heard).astype(np.complex64), [sensor.astype(np.complex64) for sensor in sensors]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_interference_goes_whichever_axis_is_the_readout(ward, turned, told):
    clean, heard, sensors = (([x.T for x in v] if isinstance(v, list) else v.T) if turned else v for v in ward)
    axis = (1 if turned else 0) if told else None
    removal = clean_plain(heard, sensors, readout_axis=axis)
    assert removal.samples.shape == heard.shape
    left = np.linalg.norm(removal.samples - clean) / np.linalg.norm(heard - clean)
    assert left < 0.15


def test_a_clean_record_stays_bit_by_bit(ward):
    clean, _, _ = ward
    rng = np.random.default_rng(1)
    sensors = [(rng.normal(size=clean.shape) + 1j * rng.normal(size=clean.shape)).astype(np.complex64) for _ in range(3)]
    kspace = clean.astype(np.complex64)
    assert np.array_equal(clean_plain(kspace, sensors).samples, kspace)


def test_sensors_of_another_shape_and_axes_that_are_not_there_are_refused(ward):
    _, heard, sensors = ward
    with pytest.raises(ReconError, match="160 x 60, the coil's is 160 x 64"):
        clean_plain(heard, [sensors[0][:, :60]])
    with pytest.raises(ReconError, match="no axis 2"):
        clean_plain(heard, sensors, readout_axis=2)
