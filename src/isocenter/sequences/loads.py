# SPDX-License-Identifier: MIT
"""What a whole sequence asks of gradients and RF amplifier, before it is compiled.

This is the early word to the person at the form. The last gate, on the compiled table, is the one that protects.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import LimitError
from isocenter.domain.scanner import RfSystem, Scanner
from isocenter.domain.units import GAMMA_HZ_PER_T, show

_WINDOW_S = 1.0
_MARGIN = 0.9
_RF, _GRADIENTS = 1, (2, 3, 4)

Floats = NDArray[np.float64]


def check_loads(built: Any, scanner: Scanner, rf_scale: float = 1.0) -> None:
    """Refuse a pypulseq sequence that any axis or the RF amplifier could not stand.

    Parameters
    ----------
    rf_scale
        Measured B1+ at full scale over the hardware file's.

    Raises
    ------
    LimitError
        Names quantity, request, limit, and how much longer TR must be.
    """
    blocks = np.array(list(built.block_events.values()), dtype=np.int64)
    durations_s = np.array(list(built.block_durations.values()))
    _check_gradients(built, blocks, durations_s, scanner)
    _check_rf(built, blocks, durations_s, replace(scanner.rf, full_scale_t=scanner.rf.full_scale_t * rf_scale))


def _check_gradients(built: Any, blocks: NDArray[np.int64], durations_s: Floats, scanner: Scanner) -> None:
    axes = scanner.gradients.axes
    peak, slew, energy = _gradient_table(built, blocks)
    used = np.unique(blocks[:, _GRADIENTS])
    amplitude_limit, slew_limit = min(axis.max_t_per_m for axis in axes), min(axis.max_slew_t_per_m_s for axis in axes)
    limits = (
        ("a gradient of {}", peak, amplitude_limit, "mT/m", "Enlarge the fields of view"),
        ("a gradient slew rate of {}", slew, slew_limit, "T/m/s", "Lengthen the ramps"),
    )
    for what, table, limit, unit, remedy in limits:
        largest = float(table[used].max(initial=0.0)) / GAMMA_HZ_PER_T
        if not largest <= limit * (1 + 1e-6):
            raise LimitError(
                f"The sequence needs {what.format(show(largest, unit, 4))}; this scanner allows {show(limit, unit, 4)}.",
                f"{remedy}, so that it falls to {limit / largest:.0%} or less.",
            )
    rms_limit = _MARGIN * min(axis.max_rms_t_per_m for axis in axes)
    for column, name in zip(_GRADIENTS, "xyz", strict=True):
        rms = float(np.sqrt(_busiest(energy[blocks[:, column]], durations_s))) / GAMMA_HZ_PER_T
        if not rms <= rms_limit:
            raise LimitError(
                f"Gradient {name} of the sequence has a root mean square of {show(rms, 'mT/m')} over one second; this "
                f"scanner allows a sequence {show(rms_limit, 'mT/m')}.",
                f"Make TR {(rms / rms_limit) ** 2:.2f} times as long, or enlarge the field of view, or lower the bandwidth.",
            )


def _gradient_table(built: Any, blocks: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Peak [Hz/m], slew [Hz/m/s] and integral of the square [Hz²s/m²] of each gradient event, by its id."""
    library = built.grad_library
    size = max(library.data, default=0) + 1
    peak, slew, energy = np.zeros(size), np.zeros(size), np.zeros(size)
    for event, data in library.data.items():
        if library.type[event] == "t":
            amplitude, rise_s, flat_s, fall_s = (float(value) for value in data[:4])
            peak[event] = abs(amplitude)
            slew[event] = abs(amplitude) / max(min(rise_s, fall_s), 1e-9) if amplitude else 0.0
            energy[event] = amplitude**2 * (rise_s / 3 + flat_s + fall_s / 3)
        else:
            times, values = _free_shape(built, blocks, event)
            steps, first, second = np.diff(times), values[:-1], values[1:]
            peak[event] = np.abs(values).max(initial=0.0)
            slew[event] = np.abs(np.diff(values) / np.maximum(steps, 1e-9)).max(initial=0.0)
            energy[event] = float(np.sum(steps * (first**2 + first * second + second**2) / 3))
    return peak, slew, energy


def _free_shape(built: Any, blocks: NDArray[np.int64], event: int) -> tuple[Floats, Floats]:
    rows, columns = np.nonzero(blocks[:, _GRADIENTS] == event)
    if not len(rows):
        return np.zeros(1), np.zeros(1)
    block = built.get_block(list(built.block_events)[rows[0]])
    gradient = (block.gx, block.gy, block.gz)[columns[0]]
    times = np.concatenate([[0.0], gradient.tt, [gradient.shape_dur]])
    values = np.concatenate([[gradient.first], gradient.waveform, [gradient.last]])
    keep = np.concatenate([[True], np.diff(times) > 1e-9])
    return times[keep], values[keep]


def _check_rf(built: Any, blocks: NDArray[np.int64], durations_s: Floats, rf: RfSystem) -> None:
    data = built.rf_library.data
    length_s, peak_hz = np.zeros(max(data, default=0) + 1), 0.0
    shapes: dict[tuple[Any, ...], float] = {}
    for block, event in zip(built.block_events, blocks[:, _RF], strict=True):
        if event and not length_s[event]:
            key = tuple(data[event][1:4])
            if key not in shapes:
                shapes[key] = float(built.get_block(block).rf.shape_dur)
            length_s[event] = shapes[key]
            peak_hz = max(peak_hz, abs(float(data[event][0])))
    if not peak_hz <= rf.full_scale_hz:
        raise LimitError(
            f"The sequence needs B1 of {show(peak_hz / GAMMA_HZ_PER_T, 'uT', 4)}; this scanner gives "
            f"{show(rf.full_scale_t, 'uT', 4)}.",
            f"Make the RF pulses {peak_hz / rf.full_scale_hz:.2f} times as long, or lower the flip angle.",
        )
    if not float(length_s.max()) <= rf.max_pulse_s * (1 + 1e-6):
        raise LimitError(
            f"The sequence has an RF pulse of {show(float(length_s.max()), 'us', 4)}; this scanner allows "
            f"{show(rf.max_pulse_s, 'us', 4)}.",
            f"Shorten the pulse to {show(rf.max_pulse_s, 'us', 4)} or less.",
        )
    on_s = length_s[blocks[:, _RF]]
    duty = float(max(_busiest(on_s, durations_s), on_s.sum() / durations_s.sum()))
    limit = _MARGIN * rf.max_duty
    if not duty <= limit:
        raise LimitError(
            f"The sequence has RF on for {duty:.1%} of the time; this scanner allows a sequence {limit:.1%}.",
            f"Make TR {duty / limit:.2f} times as long, or shorten the RF pulses, or use fewer echoes.",
        )


def _busiest(amount: Floats, durations_s: Floats) -> float:
    """Largest mean of something over any second, or over the whole when that is shorter."""
    edges = np.concatenate([[0.0], np.cumsum(durations_s)])
    total = np.concatenate([[0.0], np.cumsum(amount)])
    starts = np.maximum(edges - _WINDOW_S, 0.0)
    inside = total - np.interp(starts, edges, total)
    return float(inside.max() / min(_WINDOW_S, max(edges[-1], 1e-9)))
