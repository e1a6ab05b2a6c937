# SPDX-License-Identifier: MIT
"""Strength and direction of the gradients, from three projections of a ball of known size, each read both ways."""

from dataclasses import replace
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
from isocenter.acquisition.prescan.service.projections import AxisScale, BallEdges, axis_scale, fit_ball, wiring
from isocenter.domain.calibration import Quantity
from isocenter.domain.errors import AcquisitionError
from isocenter.domain.raw import RawScan
from isocenter.domain.scanner import Scanner
from isocenter.domain.units import signed

TOLERANCE: Final = 0.02
"""Of the length after correction. Source: reference domain.md 2, row 9."""
MAX_DEVIATION: Final = 0.2
"""A gradient farther from the hardware file's is wired or configured wrongly; nothing is to be corrected then."""
NOTABLE: Final = 0.1
_ALIKE: Final = 0.01
_OFF: Final = 0.03


class GradientScaleStep(ServiceStep):
    """Measures strength and direction of each channel, then measures again with what it found."""

    name = "gradient_scale"
    title = "Gradient strength and direction"

    def __init__(self, phantom: ServicePhantom | None = None, averages: int = 2) -> None:
        self._phantom = phantom or ServicePhantom()
        self._averages = averages

    def _run(self, bench: Bench, tell: Tell) -> StepResult:
        scanner, used = bench.scanner, np.array(bench.calibration.gradient_scale)
        parameters = {"fov_m": field_of_view_m(self._phantom), "averages": self._averages}
        raw, path = measure(bench, "projections", parameters)
        edges = find_edges(raw)
        plots = _plots(raw, edges)
        tell(self._result("Checking", plots=plots))
        scales, shift_m = by_channel(raw, edges, scanner, self._phantom.diameter_m / 2)
        is_directed = self._check_directions(scanner, shift_m)
        found = np.array([each.scale for each in scales])
        _check_sizes(found)
        sd = np.array([each.scale_sd for each in scales])
        if not np.all(sd < TOLERANCE / 2):
            raise AcquisitionError(
                f"The strength is known to ±{sd.max() * 100:.1f} % only.", "Repeat with more averages or a larger phantom."
            )
        total = used * found
        x, y, z = (float(value) for value in total)
        raw, _ = measure(bench, "projections", parameters, replace(bench.calibration, gradient_scale=(x, y, z)))
        left = np.array([each.scale for each in by_channel(raw, find_edges(raw), scanner, self._phantom.diameter_m / 2)[0]])
        if not np.all(np.abs(left - 1) < TOLERANCE):
            raise AcquisitionError(
                f"With the new values the gradients are still {_percent(left)} off; "
                f"at most {TOLERANCE * 100:g} % is accepted.",
                "See that the phantom does not move and that the gradient amplifiers follow; then repeat.",
            )
        verdict, remedy = _judge(found, is_directed)
        return self._result(
            f"Over the hardware file's: {_percent(total)}; with this, {_percent(left)} is left. "
            + ("Directions and signs are right." if is_directed else "Directions were not checked."),
            verdict=verdict,
            remedy=remedy,
            values=(calibrated(bench, Quantity.GRADIENT_SCALE, total, total * sd, path),),
            plots=plots,
        )

    def _check_directions(self, scanner: Scanner, shift_m: NDArray[np.float64]) -> bool:
        """True when the wiring is what the hardware file says, False when the phantom cannot tell."""
        wired, away_m = wiring(shift_m, np.array(self._phantom.centre_device_m))
        if wired is None:
            if np.linalg.norm(np.abs(np.sort(np.abs(shift_m))) - np.sort(np.abs(self._phantom.centre_device_m))) > 0.01:
                raise _misplaced(shift_m, self._phantom)
            return False
        if away_m > 0.01:
            raise _misplaced(shift_m, self._phantom)
        stated = scanner.gradients.channel_from_device
        if np.array_equal(wired, stated):
            return True
        wrong = [
            f"channel {'xyz'[channel]} drives {_axis_name(wired[channel])}, the hardware file says "
            f"{_axis_name(stated[channel])}"
            for channel in range(3)
            if not np.array_equal(wired[channel], stated[channel])
        ]
        raise AcquisitionError(
            f"Gradients point elsewhere than the hardware file says: {'; '.join(wrong)}. Images would be mirrored "
            "or turned.",
            f"Do not scan patients. Correct the cables, or set channel_from_device to {wired.astype(int).tolist()} in the "
            "hardware file; then repeat.",
        )


def field_of_view_m(phantom: ServicePhantom) -> float:
    """Enough for the phantom where it lies, with noise beside it."""
    return round(1.7 * phantom.diameter_m + max(map(abs, phantom.centre_device_m)), 3)


def line(raw: RawScan, axis: int, way: int) -> NDArray[np.complex128]:
    """Mean of the lines of a logical axis and polarity, shape ``(n_samples,)``."""
    chosen = (raw.label("SET") == axis) & (raw.label("REV") == way)
    if not chosen.any():
        raise AcquisitionError("Not all axes were measured both ways.", "Repeat the calibration.")
    mean: NDArray[np.complex128] = raw.samples[chosen, 0].astype(np.complex128).mean(axis=0)
    return mean


def find_edges(raw: RawScan) -> list[tuple[BallEdges, BallEdges]]:
    """The ball along each logical axis, read forth and back."""
    return [(fit_ball(line(raw, axis, 0), raw.dwell_s), fit_ball(line(raw, axis, 1), raw.dwell_s)) for axis in range(3)]


def by_channel(
    raw: RawScan, edges: list[tuple[BallEdges, BallEdges]], scanner: Scanner, radius_m: float
) -> tuple[list[AxisScale], NDArray[np.float64]]:
    """Strengths of channels x, y, z, and where the ball shows along them [m], shape (3,)."""
    nominal, shift_m = number(raw, "Gradient"), np.zeros(3)
    scales: dict[int, AxisScale] = {}
    for axis, (forward, backward) in enumerate(edges):
        channel, sign = channel_of_axis(raw, scanner.gradients.channel_from_device, axis)
        scales[channel] = axis_scale(forward, backward, nominal, radius_m)
        shift_m[channel] = sign * scales[channel].shift_m
    return [scales[channel] for channel in range(3)], shift_m


def _check_sizes(found: NDArray[np.float64]) -> None:
    if np.all(np.abs(found - 1) <= MAX_DEVIATION):
        return
    channel = int(np.argmax(np.abs(found - 1)))
    raise AcquisitionError(
        f"Gradient channel {'xyz'[channel]} is {found[channel]:.2f} times as strong as the hardware file says; "
        f"between {1 - MAX_DEVIATION:g} and {1 + MAX_DEVIATION:g} times can be corrected.",
        "Check the phantom's size, the amplifier's gain and full_scale_t_per_m in the hardware file; then repeat.",
    )


def _judge(found: NDArray[np.float64], is_directed: bool) -> tuple[Verdict, str]:
    if np.ptp(found) < _ALIKE and abs(found.mean() - 1) > _OFF:
        return Verdict.WARN, "All three gradients are off alike: make sure that the phantom's size is right."
    if not is_directed:
        return Verdict.WARN, (
            "To check the directions too, lay the phantom off the centre by different distances along all three axes, and "
            "enter where it lies."
        )
    if np.any(np.abs(found - 1) > NOTABLE):
        return Verdict.WARN, "A gradient is far from what the hardware file says; see that its amplifier is set right."
    return Verdict.PASS, ""


def _misplaced(shift_m: NDArray[np.float64], phantom: ServicePhantom) -> AcquisitionError:
    seen, stated = (" ".join(f"{signed(1e3 * value)}" for value in one) for one in (shift_m, phantom.centre_device_m))
    return AcquisitionError(
        f"The phantom shows at {seen} mm along channels x, y, z; it was said to lie at {stated} mm. "
        "No wiring explains that.",
        "Put the phantom where its holder says, or correct its place; then repeat.",
    )


def _axis_name(row: NDArray[np.float64]) -> str:
    axis = int(np.argmax(np.abs(row)))
    return f"{'+' if row[axis] > 0 else '-'}{'XYZ'[axis]}"


def _percent(scales: NDArray[np.float64]) -> str:
    return ", ".join(f"{name} {signed(100 * (scale - 1), 1)} %" for name, scale in zip("xyz", scales, strict=True))


def _plots(raw: RawScan, edges: list[tuple[BallEdges, BallEdges]]) -> tuple[Plot, ...]:
    """One for each logical axis: what was seen forth and back, and the ball that was fitted."""
    nominal = number(raw, "Gradient")
    plots = []
    for axis, pair in zip("xyz", edges, strict=True):
        curves = []
        for label, sign, edge in zip(("forth", "back"), (1, -1), pair, strict=True):
            place_mm, top = sign * 1e3 * edge.frequency_hz / nominal, edge.magnitude.max()
            curves.append(Curve(label=label, x=place_mm, y=edge.magnitude / top, is_points=True))
            curves.append(Curve(label=f"{label}, fit", x=place_mm, y=edge.fitted / top))
        label = f"Nominal place along {axis} [mm]"
        plots.append(Plot(title=f"Projection along {axis}", x_label=label, y_label="Signal", curves=tuple(curves)))
    return tuple(plots)
