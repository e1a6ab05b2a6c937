# SPDX-License-Identifier: MIT
"""Where the oscillator stood while a stored scan was measured, and how far the magnet was from it, by the scan's journal."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isocenter.storage.journal import read_journal


def lo_shift_hz(journal: Path, lo_hz: float, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Oscillator minus ``lo_hz`` for the chosen readouts; empty where it never moved."""
    if not journal.exists() or b'"resumed"' not in journal.read_bytes():
        return np.zeros(0)
    shift_hz = np.zeros(len(chosen))
    for event in read_journal(journal):
        if event.get("event") == "segment" and "first" in event:  # the last that is told of a readout is on the disk
            shift_hz[event["first"] : event["first"] + event["n"]] = event["lo_hz"] - lo_hz
    return shift_hz[chosen] if shift_hz.any() else np.zeros(0)


def drift_hz(journal: Path, time_s: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Magnet minus oscillator for the chosen readouts, between two measurements steadily; empty without a look.

    What came after the last measurement, and before one that found a jump, is not known to have changed.

    Parameters
    ----------
    time_s
        Of all readouts, from the start of the scan.
    """
    if not journal.exists() or b'"is_look"' not in journal.read_bytes():
        return np.zeros(0)
    found_hz, since_s, since, measured = np.zeros(len(time_s)), 0.0, 0, None
    for event in read_journal(journal):
        if event.get("event") == "frequency measured":
            measured = event
        elif event.get("event") == "resumed" and measured is not None:
            first = int(event["first_readout"])
            if measured.get("is_look") and first >= measured["readout"] and measured["at_s"] > since_s:  # else it jumped
                part = slice(since, int(measured["readout"]))
                found_hz[part] = measured["change_hz"] * (time_s[part] - since_s) / (measured["at_s"] - since_s)
            lead_s = float(event.get("lead_s", 0.0))  # played between the measurement and the first line
            since, since_s = first, float(time_s[first]) - lead_s if first < len(time_s) else float("inf")
            measured = None
    return found_hz[chosen]
