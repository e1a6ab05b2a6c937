# SPDX-License-Identifier: MIT
"""What happens to the boxes while a scenario is played: each event at its time, and undone when it is over."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from isocenter.domain.device import DeviceRole
from isocenter.domain.scenario import DeviceEvent, DeviceEventKind
from isocenter.virtual.peripherals.boxes import VirtualBoxes

_K = DeviceEventKind
_CHANGES: Final[Mapping[DeviceEventKind, tuple[dict[str, Any], dict[str, Any]]]] = {
    _K.AMPLIFIER_OFF: ({"rf_amplifier_on": False, "gradient_amplifier_on": False}, {}),  # nobody switches them on again
    _K.EMERGENCY_STOP: ({"emergency_stop": True}, {"emergency_stop": False}),
    _K.DOOR_OPEN: ({"door_open": True}, {"door_open": False}),
    _K.ON_BATTERY: ({"on_battery": True}, {"on_battery": False}),
    _K.BATTERY_LOW: ({"on_battery": True, "battery_share": 0.1}, {"on_battery": False, "battery_share": 1.0}),
    _K.GRADIENT_FAULT: ({"gradient_amplifier_fault": True}, {"gradient_amplifier_fault": False}),
    _K.GRADIENT_HOT: ({"gradient_amplifier_hot": True}, {"gradient_amplifier_hot": False}),
    _K.RF_FAULT: ({"rf_amplifier_fault": True}, {"rf_amplifier_fault": False}),
    _K.COIL_UNPLUGGED: ({"coil_plugged": False}, {"coil_plugged": True}),
    _K.COIL_DETUNED: ({"coil_load_share": 0.03}, {"coil_load_share": 0.0}),
}


class Story:
    """Plays the events of a scenario from the first run on.

    Parameters
    ----------
    boxes
        To which they happen.
    events
        In any order.
    """

    def __init__(self, boxes: VirtualBoxes, events: Sequence[DeviceEvent]) -> None:
        moments: list[tuple[float, Callable[[], None]]] = []
        for event in events:
            begin, end = _acts(boxes, event)
            moments.append((event.start_s, begin))
            if event.lasts_s > 0:
                moments.append((event.start_s + event.lasts_s, end))
        self._moments = sorted(moments, key=lambda moment: moment[0])
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """The first run starts; later calls do nothing."""
        with self._lock:
            if self._thread is None and self._moments:
                self._thread = threading.Thread(target=self._tell, name="scenario story", daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Nothing happens any more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def _tell(self) -> None:
        start_s = time.monotonic()
        for at_s, act in self._moments:
            if self._ended.wait(max(start_s + at_s - time.monotonic(), 0.0)):
                return
            act()


def _acts(boxes: VirtualBoxes, event: DeviceEvent) -> tuple[Callable[[], None], Callable[[], None]]:
    """What happens, and what undoes it."""
    if event.kind in _CHANGES:
        begin, end = _CHANGES[event.kind]
        return (
            lambda: _ignore(boxes.plant.change("scenario", **begin)),
            lambda: _ignore(boxes.plant.change("scenario", **end)),
        )
    line = boxes.line(DeviceRole(event.role))
    acts: dict[DeviceEventKind, Callable[[], None]] = {
        _K.LINE_SILENT: lambda: line.fail(mute=True),
        _K.LINE_CUT: line.cut,
        _K.LINE_STALLED: line.stall,
    }
    return acts[event.kind], line.heal


def _ignore(_: object) -> None:
    """For what only matters by what it does."""
