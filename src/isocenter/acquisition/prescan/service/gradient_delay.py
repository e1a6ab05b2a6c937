# SPDX-License-Identifier: MIT
"""How late each gradient comes, from echoes that are read with both polarities."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.acquisition.prescan.contract import Bench, Curve, Plot, StepResult, Tell, Verdict
from isocenter.acquisition.prescan.service.base import (
    ServicePhantom,
    ServiceStep,
    calibrated,
    channel_of_axis,
    measure,
    number,
)
from isocenter.acquisition.prescan.service.gradient_scale import field_of_view_m, line
from isocenter.acquisition.prescan.service.projections import echo_centre, require_object
from isocenter.domain.calibration import Quantity
from isocenter.domain.errors import AcquisitionError
from isocenter.domain.raw import RawScan
from isocenter.domain.scanner import Scanner
from isocenter.domain.units import GAMMA_HZ_PER_T, plain, signed
from isocenter.recon.correct.delays import compare_polarities

MAX_RESIDUAL: Final = 0.25
"""Of a sample, after correction. Source: reference domain.md 2, row 10."""
MAX_DELAY_S: Final = 120e-6
"""As far as the readout's gradient is flat beyond the readout; a longer delay is no amplifier's."""
SHIFT_S: Final = 0.5e-3
"""From the spin echo to the readout's middle: there a gradient that is always there shows. What parts the echoes at the spin
echo too, such as the phase of the receive coil, is taken away."""
_MIN_AGREEMENT: Final = 0.9
_NOTABLE_T_PER_M: Final = 0.05e-3
_BANDWIDTH_HZ: Final = 40e3
_LEAST_SD_S: Final = 20e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelDelay:
    """One channel.

    Attributes
    ----------
    delay_s
        Half of the sum of both echoes' lateness [s].
    apart_s
        Half of their difference, along the channel's positive direction [s].
    agreement
        Of the two readouts once the delay is taken away, 0 ... 1.
    """

    delay_s: float
    apart_s: float
    agreement: float


def find_delay(forward: NDArray[np.complex128], backward: NDArray[np.complex128], dwell_s: float) -> ChannelDelay:
    """Delay of one gradient.

    Parameters
    ----------
    forward, backward
        complex, shape ``(n,)``, n odd: the same projection with opposite gradients, nominal k = 0 in the middle.
    dwell_s
        Sample spacing [s].

    Raises
    ------
    AcquisitionError, ReconError
        The two cannot be trusted.

    Source
    ------
    ``t± = t0 + delay ∓ background shift / (G ± background)``, reference domain.md 2, row 10. The delay itself is taken
    from the whole of both readouts, which the shape of the object does not move.
    """
    middle = len(forward) // 2
    for each in (forward, backward):
        require_object(each, dwell_s)
    pair = [each[np.newaxis].astype(np.complex64) for each in (forward, backward)]
    found = compare_polarities(pair[0], pair[1], dwell_s, float(middle), largest_delay=1.2 * MAX_DELAY_S / dwell_s)
    late, early = ((echo_centre(each) - middle) * dwell_s for each in (forward, backward))
    if found.agreement[0] < _MIN_AGREEMENT or abs((late + early) / 2 - found.delay_s) > MAX_RESIDUAL * dwell_s:
        raise AcquisitionError(
            f"The echoes of both polarities do not belong together: their mean is {plain((late + early) / 2e-6, 1)} us "
            f"late, their shapes say {plain(found.delay_s * 1e6, 1)} us (agreement {found.agreement[0]:.0%}).",
            "Shim, use the ball alone, and see that it does not move; then repeat.",
        )
    return ChannelDelay(delay_s=found.delay_s, apart_s=float(early - late) / 2, agreement=found.agreement[0])


class GradientDelayStep(ServiceStep):
    """Measures the delay of each channel, then measures again with what it found."""

    name = "gradient_delay"
    title = "Gradient delay"

    def __init__(self, phantom: ServicePhantom | None = None, averages: int = 2) -> None:
        self._phantom = phantom or ServicePhantom()
        self._averages = averages

    def _run(self, bench: Bench, tell: Tell) -> StepResult:
        parameters = {
            "fov_m": field_of_view_m(self._phantom),
            "averages": self._averages,
            "shift_s": SHIFT_S,
            "bandwidth_hz": _BANDWIDTH_HZ,
        }
        raw, path = measure(bench, "projections", parameters)
        plots = (_plot(raw),)
        tell(self._result("Checking", plots=plots))
        first = by_channel(raw, bench.scanner)
        delays_s = np.array([each.delay_s for each in first])
        if np.any(np.abs(delays_s) > MAX_DELAY_S):
            channel = int(np.argmax(np.abs(delays_s)))
            raise AcquisitionError(
                f"Gradient channel {'xyz'[channel]} is {delays_s[channel] * 1e6:.0f} us late; at most "
                f"{MAX_DELAY_S * 1e6:.0f} us is accepted.",
                "Check filters and amplifier of this channel, and delay_s in the hardware file; then repeat.",
            )
        total_s = np.array(bench.calibration.gradient_delay_s) + delays_s
        x, y, z = (float(value) for value in total_s)
        at_echo = parameters | {"shift_s": 0.0}  # where an uneven main field has no say in where the echo is
        again, _ = measure(bench, "projections", at_echo, replace(bench.calibration, gradient_delay_s=(x, y, z)))
        second = by_channel(again, bench.scanner)
        left_s = np.array([each.delay_s for each in second])
        if not np.all(np.abs(left_s) < MAX_RESIDUAL * raw.dwell_s):
            raise AcquisitionError(
                f"With the new delays the echoes are still {np.abs(left_s).max() * 1e6:.1f} us off; less than "
                f"{MAX_RESIDUAL * raw.dwell_s * 1e6:.1f} us is accepted.",
                "Shim, and see that the gradient amplifiers are warm and stable; then repeat.",
            )
        total_s = total_s + left_s
        apart_s = np.array([one.apart_s - other.apart_s for one, other in zip(first, second, strict=True)])
        background = number(raw, "Gradient") * apart_s / number(raw, "Shift")
        verdict, remedy = _judge(background)
        return self._result(
            f"Beyond the hardware file's: {_us(total_s)}; two measurements differ by {_us(left_s)}. "
            f"{_background_text(background)}",
            verdict=verdict,
            remedy=remedy,
            values=(calibrated(bench, Quantity.GRADIENT_DELAY, total_s, np.maximum(np.abs(left_s), _LEAST_SD_S), path),),
            plots=plots,
        )


def by_channel(raw: RawScan, scanner: Scanner) -> list[ChannelDelay]:
    """Of channels x, y, z."""
    found: dict[int, ChannelDelay] = {}
    for axis in range(3):
        channel, sign = channel_of_axis(raw, scanner.gradients.channel_from_device, axis)
        one = find_delay(line(raw, axis, 0), line(raw, axis, 1), raw.dwell_s)
        found[channel] = replace(one, apart_s=sign * one.apart_s)
    return [found[channel] for channel in range(3)]


def _judge(background_hz_per_m: NDArray[np.float64]) -> tuple[Verdict, str]:
    if np.any(np.abs(background_hz_per_m) > _NOTABLE_T_PER_M * GAMMA_HZ_PER_T):
        return Verdict.WARN, "There is a gradient that is always there: shim."
    return Verdict.PASS, ""


def _us(times_s: NDArray[np.float64]) -> str:
    return ", ".join(f"{name} {signed(1e6 * time_s, 1)} us" for name, time_s in zip("xyz", times_s, strict=True))


def _background_text(background_hz_per_m: NDArray[np.float64]) -> str:
    said = ", ".join(f"{name} {signed(value)}" for name, value in zip("xyz", background_hz_per_m, strict=True))
    return f"Gradients that are always there: {said} Hz/m."


def _plot(raw: RawScan) -> Plot:
    n = raw.samples.shape[2]
    time_ms = (np.arange(n) - n // 2) * raw.dwell_s * 1e3
    curves = tuple(
        Curve(label=f"{'xyz'[axis]} {('forth', 'back')[way]}", x=time_ms, y=np.abs(line(raw, axis, way)))
        for axis in range(3)
        for way in (0, 1)
    )
    return Plot(
        title="Echoes",
        x_label="Time from where they should be [ms]",
        y_label="Signal",
        curves=curves,
        marks={"nominal": 0.0},
    )
