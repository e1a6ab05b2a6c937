# SPDX-License-Identifier: MIT
import numpy as np
from ward import make_ward

from isocenter.recon.correct import blocks, stiff, taps, unwrap, vandermonde
from isocenter.recon.correct.b0 import undistort
from isocenter.recon.correct.b0_map import measure_field
from isocenter.recon.correct.denoise import denoise
from isocenter.recon.correct.editer import remove_with_sensors
from isocenter.recon.correct.editer_live import LiveRemoval
from isocenter.recon.correct.warm_up import warm_up


def test_nothing_is_left_to_compile_at_the_first_use():
    warm_up()
    called = [
        *(taps.sum_products, taps.predict, taps.stretch_power, taps.stretch_gain, taps.object_gain),
        *(stiff.solve_stiff, stiff.gains_of, stiff.take_from),
        *(vandermonde.solve_lines, vandermonde.misfit, unwrap.unwrap, blocks.filter_blocks),
    ]
    ready = [set(loop.signatures) for loop in called]
    assert all(ready)
    ward = make_ward(32, 64, level=1.0)
    remove_with_sensors(ward.coil, ward.sensors)
    live = LiveRemoval()
    live.add(ward.coil[:, None], ward.sensors)
    live.add(ward.coil, ward.sensors)
    image = np.fft.fftshift(np.fft.fft2(ward.clean))[None].astype(np.complex64)
    shift = np.tile(np.linspace(-2, 2, 64, dtype=np.float32) ** 2, (1, 32, 1))
    undistort(image, shift)
    undistort(image, shift, axis=1)
    measure_field(image, image * np.exp(0.3j).astype(np.complex64), 1e-3)
    denoise(np.abs(image), sigma=1.0)
    denoise(image, sigma=1.0)
    assert [set(loop.signatures) for loop in called] == ready
