# SPDX-License-Identifier: MIT
"""What the RF monitor measures: beside what was computed, in the journals, and against the limits.

The monitor tells forward power; what comes back from the coil is not taken off, so the truth is at most this.
"""

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from isocenter.acquisition.contracts import ScanSink
from isocenter.acquisition.control.arming import ask
from isocenter.app.control import ScannerControl
from isocenter.app.exposures import Playing
from isocenter.compiler.check.dose import Windows
from isocenter.compiler.check.patient import measured_exposures
from isocenter.domain.device import DeviceRole, DeviceStatus, LinkState
from isocenter.domain.errors import ConsoleError
from isocenter.domain.events import Readouts
from isocenter.domain.exposure import Exposure, Label, Quantity
from isocenter.domain.exposure_history import ExposureHistory
from isocenter.domain.limits import SAR_SHORT_WINDOW_S, SAR_WINDOW_S, OperatingMode, Subject
from isocenter.domain.scan import EndReason
from isocenter.domain.scanner import Scanner
from isocenter.recon.receive import Samples

FRESH_S: Final = 1.0
"""A reading that is older is not shown as the present [s]."""
MORE_THAN: Final = 1.3
"""So many times the power that was computed is worth a warning."""
FLOOR_OF_LIMIT: Final = 0.02
FLOOR_SHARE: Final = 0.001
"""Less than these shares of a limit of SAR and of the amplifier's power harm nobody, and may be noise of the monitor."""
_WINDOWS_S: Final = (SAR_SHORT_WINDOW_S, SAR_WINDOW_S)
_ROWS: Final = ("sar_10s", "sar_6min")
POWER: Final = "forward RF power"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPower:
    """Mean forward power over the last 10 s and 6 min [W]; NaN for what the monitor did not tell."""

    ten_s_w: float = math.nan
    six_min_w: float = math.nan

    @property
    def is_known(self) -> bool:
        """True when it told something."""
        return not (math.isnan(self.ten_s_w) and math.isnan(self.six_min_w))

    def or_more(self, other: "MeasuredPower") -> "MeasuredPower":
        """The larger of each; what only one of the two knows is taken from that one."""
        return MeasuredPower(
            ten_s_w=_larger(self.ten_s_w, other.ten_s_w), six_min_w=_larger(self.six_min_w, other.six_min_w)
        )

    def exposures(self, scanner: Scanner, subject: Subject | None, mode: OperatingMode) -> tuple[Exposure, ...]:
        """As exposures, each called ``measured ...``."""
        means_w = (self.ten_s_w, self.six_min_w)
        power = [
            Exposure(
                name=POWER,
                value=mean_w,
                limit=math.nan,
                unit="W",
                window_s=window_s,
                label=Label.UNKNOWN if math.isnan(mean_w) else Label.MEASURED,
            )
            for mean_w, window_s in zip(means_w, _WINDOWS_S, strict=True)
        ]
        sar = measured_exposures(means_w, scanner, subject, mode)
        return tuple(replace(one, name=f"measured {one.name}") for one in (*sar, *power))


def _larger(a: float, b: float) -> float:
    """NaN, which compares with nothing, only where both are."""
    return max((value for value in (a, b) if not math.isnan(value)), default=math.nan)


def measured_now(devices: Sequence[DeviceStatus]) -> MeasuredPower:
    """What the monitor's last answer told, if that is fresh; a box that tells nothing while it watches is unknown."""
    for status in devices:
        if status.role is DeviceRole.SAR_MONITOR and status.reading is not None:
            values = status.reading.values
            if time.monotonic() - status.answered_s < FRESH_S:
                return MeasuredPower(
                    ten_s_w=values.get("forward_mean_10s_w", math.nan),
                    six_min_w=values.get("forward_mean_6min_w", math.nan),
                )
    return MeasuredPower()


def ask_power(control: ScannerControl) -> MeasuredPower:
    """Ask the monitor after a scan; unknown without one, and when it does not answer."""
    line = control.line_of(DeviceRole.SAR_MONITOR)
    if line is None or line.status(DeviceRole.SAR_MONITOR).link is not LinkState.CONNECTED:
        return MeasuredPower()
    with contextlib.suppress(ConsoleError):  # its line says so, and is told
        ten_s_w, six_min_w = ask(line, DeviceRole.SAR_MONITOR, lambda box: box.mean_power_w(), "say what it measured")
        return MeasuredPower(ten_s_w=ten_s_w, six_min_w=six_min_w)
    return MeasuredPower()


class WatchedSink:
    """A scan's folder, which also learns what the RF monitor measured, and stops the scanner when that is too much.

    Parameters
    ----------
    sink
        Where data and journal go.
    control
        The monitor's line, and whom to tell.
    playing
        What was computed, for whom.
    """

    def __init__(self, sink: ScanSink, control: ScannerControl, playing: Playing) -> None:
        self.path: Path = sink.path
        self._sink, self._control, self._playing = sink, control, playing
        self._on_top_w, self._most = _on_top_w(ask_power(control), playing), MeasuredPower()

    def append(self, readouts: Readouts, samples: Samples) -> None:
        """Store samples, then look at the monitor."""
        self._sink.append(readouts, samples)
        self._judge(measured_now(self._control.supervisor.devices))

    def replace(self, first: int, readouts: Readouts, samples: Samples) -> None:
        """Store samples that were measured again, then look at the monitor."""
        self._sink.replace(first, readouts, samples)
        self._judge(measured_now(self._control.supervisor.devices))

    def note(self, event: str, **details: Any) -> None:
        """Write down what happened."""
        self._sink.note(event, **details)

    def finish(self, reason: EndReason, note: str = "") -> None:
        """Ask the monitor once more, write down both powers, say how the scan ended."""
        try:
            self._judge(ask_power(self._control))
            self._tell()
        finally:
            self._sink.finish(reason, note)

    def _judge(self, now: MeasuredPower) -> None:
        """A limit that the monitor itself should have kept, and far more than was computed."""
        if not now.is_known:
            return
        self._most = self._most.or_more(now)
        playing, supervisor = self._playing, self._control.supervisor
        found = now.exposures(playing.scanner, playing.subject, playing.safety.mode)
        for one in found:
            if one.value > one.limit:
                value, limit, unit = one.shown
                row = _ROWS[_WINDOWS_S.index(one.window_s)]
                supervisor.fault(row, detail=f"{one.title}: {value:.3g} of {limit:.3g} {unit}.")
        for predicted_w, now_w, window_s in zip(self._expected_w, (now.ten_s_w, now.six_min_w), _WINDOWS_S, strict=True):
            share = max((one.fraction for one in found if one.window_s == window_s and one.fraction > 0), default=0.0)
            is_much = share > FLOOR_OF_LIMIT or now_w > FLOOR_SHARE * playing.scanner.safety.forward_power_w
            if now_w > MORE_THAN * predicted_w and is_much:
                words = f"{now_w:.3g} W in {window_s:g} s were measured, at most {predicted_w:.3g} W computed."
                supervisor.fault("rf_above_predicted", detail=words)

    @property
    def _expected_w(self) -> tuple[float, float]:
        """The larger of what was computed with the history, and of what the monitor told before with this scan on top.

        Between scans the two clocks may part: a virtual scanner that is slower than time ages its history while it computes.
        """
        pairs = zip(self._predicted_w, self._on_top_w, strict=True)
        ten_s_w, six_min_w = (predicted_w if math.isnan(w) else max(predicted_w, w) for predicted_w, w in pairs)
        return ten_s_w, six_min_w

    @property
    def _predicted_w(self) -> tuple[float, float]:
        """The largest means that were computed for this scan with what was played before; NaN where that is unknown."""
        known = {one.window_s: one.value for one in self._playing.safety.exposures if one.name == POWER}
        return known.get(_WINDOWS_S[0], math.nan), known.get(_WINDOWS_S[1], math.nan)

    def _tell(self) -> None:
        """Both journals: the largest means that were measured, and that were computed."""
        if not self._most.is_known:
            return
        playing, most = self._playing, self._most
        details = {
            "measured_10s_w": most.ten_s_w,
            "measured_6min_w": most.six_min_w,
            "predicted_10s_w": self._predicted_w[0],
            "predicted_6min_w": self._predicted_w[1],
        }
        known = {name: float(f"{value:.4g}") for name, value in details.items() if not math.isnan(value)}
        self._control.note("rf_power", **known, folder=self.path.name)
        found = most.exposures(playing.scanner, playing.subject, playing.safety.mode)
        self._sink.note("rf_power", **known, exposures=[one.to_record() for one in found])


def _on_top_w(before: MeasuredPower, playing: Playing) -> tuple[float, float]:
    """What a scan alone would add to what the monitor told before it [W]; NaN where that is unknown."""
    planned, full_w = playing.safety.planned, playing.scanner.safety.forward_power_w
    if planned is None:
        return math.nan, math.nan
    alone = Windows(planned=planned, history=ExposureHistory(clock=""), starts_s=0.0)
    ten_s_w, six_min_w = (full_w * alone.mean(Quantity.DRIVE_S, window_s) for window_s in _WINDOWS_S)
    return before.ten_s_w + ten_s_w, before.six_min_w + six_min_w
