# SPDX-License-Identifier: MIT
"""Sequences that several benchmarks share, written with pypulseq alone, as people write them.

The 3D TSE of the project's figures: 128 x 128 x 32, echo train 8, 512 shots of 52 blocks = 26 624 blocks; each event of an
echo stands in a block of its own, as in pypulseq's own examples. Blocks and gradient steps are as many as in the file for
which marga_pulseq's 1.2 s were measured (26 624 and 782 000).
"""

import functools
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pypulseq as pp

from isocenter.config.hardware import load_scanner
from isocenter.domain.units import GAMMA_HZ_PER_T

N_READ, N_PHASE, N_SLAB, TRAIN = 128, 128, 32, 8
FOV_M = (0.24, 0.24, 0.192)
DWELL_S, SPACING_S, TR_S, RISE_S = 50e-6, 16e-3, 0.25, 180e-6


@functools.cache
def tse_file(scanner_name: str = "osii-one", *, with_labels: bool = True) -> bytes:
    """The TSE with LIN and PAR labels on every readout, as Pulseq 1.5 text."""
    return _write(_tse(scanner_name, N_PHASE * N_SLAB // TRAIN, with_labels=with_labels), as_141=False)


@functools.cache
def tse_file_for_peer(scanner_name: str) -> bytes:
    """The same without labels and as version 1.4.1, which is what marga_pulseq 0.2.2 reads."""
    return _write(_tse(scanner_name, N_PHASE * N_SLAB // TRAIN, with_labels=False), as_141=True)


@functools.cache
def tiny_file(scanner_name: str) -> bytes:
    """Two shots of it, for warming up."""
    return _write(_tse(scanner_name, 2, with_labels=False), as_141=True)


def _write(sequence: pp.Sequence, *, as_141: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "a.seq"
        sequence.write(str(path), v141_compat=as_141, check_timing=False)
        return path.read_bytes()


def _tse(scanner_name: str, n_shots: int, *, with_labels: bool) -> pp.Sequence:
    scanner = load_scanner(scanner_name)
    limit_t_per_m = 0.8 * min(axis.max_t_per_m for axis in scanner.gradients.axes)
    system = pp.Opts(
        max_grad=limit_t_per_m * GAMMA_HZ_PER_T,
        grad_unit="Hz/m",
        max_slew=0.6 * min(axis.max_slew_t_per_m_s for axis in scanner.gradients.axes) * GAMMA_HZ_PER_T,
        slew_unit="Hz/m/s",
        gamma=GAMMA_HZ_PER_T,
        rf_dead_time=100e-6,
        rf_ringdown_time=100e-6,
        adc_dead_time=0,
    )
    pulse = {"system": system, "delay": 100e-6}
    excite = pp.make_block_pulse(np.pi / 2, duration=100e-6, use="excitation", **pulse)
    refocus = pp.make_block_pulse(np.pi, duration=200e-6, phase_offset=np.pi / 2, use="refocusing", **pulse)
    flat_s = N_READ * DWELL_S
    read = pp.make_trapezoid("x", flat_area=N_READ / FOV_M[0], flat_time=flat_s, rise_time=RISE_S, system=system)
    before = pp.make_trapezoid("x", area=read.area / 2, duration=3e-3, system=system)
    adc = pp.make_adc(N_READ, dwell=DWELL_S, delay=read.rise_time, system=system)
    encode_s = 2e-3
    y = [_lobe("y", (i - N_PHASE // 2) / FOV_M[1], encode_s, system) for i in range(N_PHASE)]
    z = [_lobe("z", (i - N_SLAB // 2) / FOV_M[2], encode_s, system) for i in range(N_SLAB)]
    pulse_s = pp.calc_duration(refocus)
    rest_s = (SPACING_S - pulse_s - 2 * encode_s - pp.calc_duration(read)) / 2
    first_s = SPACING_S / 2 - pp.calc_duration(before) - 150e-6 - 200e-6 - rest_s
    tail_s = TR_S - (TRAIN + 0.5) * SPACING_S
    delays = [pp.make_delay(round(value * 1e5) / 1e5) for value in (rest_s, first_s, tail_s)]
    sequence = pp.Sequence(system)
    sequence.set_definition("Matrix", f"{N_READ} {N_PHASE} {N_SLAB}")
    for shot in range(n_shots):
        sequence.add_block(excite)
        sequence.add_block(before)
        sequence.add_block(delays[1])
        for echo in range(TRAIN):
            lin, par = (shot % (N_PHASE // TRAIN)) + echo * (N_PHASE // TRAIN), shot // (N_PHASE // TRAIN)
            labels = [pp.make_label("LIN", "SET", lin), pp.make_label("PAR", "SET", par)] if with_labels else []
            sequence.add_block(delays[0])
            sequence.add_block(refocus)
            sequence.add_block(y[lin], z[par])
            sequence.add_block(read, adc, *labels)
            sequence.add_block(pp.scale_grad(y[lin], -1), pp.scale_grad(z[par], -1))
            sequence.add_block(delays[0])
        sequence.add_block(delays[2])
    return sequence


def _lobe(axis: str, area_per_m: float, duration_s: float, system: pp.Opts) -> object:
    """Phase encode of a fixed shape, so that all steps share their times."""
    unit = pp.make_trapezoid(axis, area=1.0, duration=duration_s, rise_time=RISE_S, system=system)
    return pp.scale_grad(unit, area_per_m if area_per_m else 1e-9)
