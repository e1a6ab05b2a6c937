# SPDX-License-Identifier: MIT
"""The fault matrix: each thing that can go wrong, what the program does by itself, and what the operator reads.

Source
------
reference domain.md 4.5.
"""

from dataclasses import dataclass
from typing import Final

from isocenter.domain.control import Fault, FaultAction
from isocenter.domain.device import DeviceRole

A = FaultAction


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRow:
    """One row: what happens by itself, and the two sentences; ``{device}`` is filled with the device's name."""

    action: FaultAction
    problem: str
    remedy: str


MATRIX: Final[dict[str, FaultRow]] = {
    "emergency_stop": FaultRow(
        action=A.TRIP,
        problem="The red emergency button was pressed. The scanner is stopped.",
        remedy="Look after the patient. When all is well, release the red button, then press Make ready.",
    ),
    "door_open": FaultRow(
        action=A.TRIP,
        problem="The door was opened. The scanner is stopped.",
        remedy="Look after the patient, close the door, then press Make ready.",
    ),
    "heartbeat_lost": FaultRow(
        action=A.TRIP,
        problem="The safety controller heard nothing from this computer for a second and switched the amplifiers off.",
        remedy="Look after the patient. Close other programs that slow this computer down, then press Make ready.",
    ),
    "interlock_latched": FaultRow(
        action=A.TRIP,
        problem="The safety controller has switched the amplifiers off.",
        remedy="Look after the patient, see to what the controller names on the Scanner page, then press Make ready.",
    ),
    "device_lost": FaultRow(
        action=A.TRIP,
        problem="The {device} does not answer any more. The scanner is stopped.",
        remedy="Look after the patient. Check the power and the cable of the {device}, then press Make ready.",
    ),
    "not_switched": FaultRow(
        action=A.TRIP,
        problem="The {device} did not confirm what it was told. The scanner is stopped.",
        remedy="Look after the patient. Check the power and the cable of the {device}, then press Make ready.",
    ),
    "device_off": FaultRow(
        action=A.TRIP,
        problem="The {device} has switched itself off during a scan. The scanner is stopped.",
        remedy="Look after the patient, read what the {device} shows, then press Make ready.",
    ),
    "console_lost": FaultRow(
        action=A.TRIP,
        problem="The console does not answer as it should. The scanner is stopped.",
        remedy="Look after the patient. Check the console's power and network cable, then press Make ready.",
    ),
    "console_stalled": FaultRow(
        action=A.TRIP,
        problem="The console did not finish a part of the scan in time. The scanner is stopped.",
        remedy="Look after the patient. Check the console's network cable or restart the console, then press Make ready.",
    ),
    "simulation_lost": FaultRow(
        action=A.TRIP,
        problem="The virtual scanner's process does not answer. The scanner is stopped.",
        remedy="No patient is in it, and what was measured is kept. Choose a scenario (F7), or start the command again: "
        "either begins with a new virtual scanner.",
    ),
    "console_not_zero": FaultRow(
        action=A.TRIP,
        problem="The console has not confirmed that every output is at zero.",
        remedy="Switch the amplifiers off by hand and look after the patient. Restart the console, then press Make ready.",
    ),
    "window_stalled": FaultRow(
        action=A.TRIP,
        problem="The window stopped reacting, so that nobody could have stopped the scan. The scanner is stopped.",
        remedy="Look after the patient. Close other programs that slow this computer down, then press Make ready.",
    ),
    "sar_10s": FaultRow(
        action=A.TRIP,
        problem="The RF monitor cut the transmitter: the mean power of 10 seconds passed its limit.",
        remedy="Look after the patient, wait until the RF load has fallen, then choose a protocol with less RF power.",
    ),
    "sar_6min": FaultRow(
        action=A.TRIP,
        problem="The RF monitor cut the transmitter: the mean power of 6 minutes passed its limit.",
        remedy="Look after the patient, wait until the RF load has fallen, then choose a protocol with less RF power.",
    ),
    "sar_peak": FaultRow(
        action=A.TRIP,
        problem="The RF monitor cut the transmitter: a pulse was stronger than allowed.",
        remedy="Look after the patient. Repeat the prescan; if it happens again, call service.",
    ),
    "rf_above_predicted": FaultRow(
        action=A.WARN,
        problem="The RF monitor measured clearly more power than was computed before the scan: the exposure that is shown "
        "beforehand is too low.",
        remedy="Look at the measured exposure. Repeat the prescan; if it stays so, call service before scanning people: "
        "the amplifier's power in the hardware file or the monitor's calibration is wrong.",
    ),
    "reflected": FaultRow(
        action=A.TRIP,
        problem="Too much RF power comes back: the coil is not matched.",
        remedy="Check that the coil is plugged in and lies as it should, then tune it again in the prescan.",
    ),
    "rf_fault": FaultRow(
        action=A.TRIP,
        problem="The RF amplifier reports a fault.",
        remedy="Look after the patient, read what the amplifier shows, clear it there, then press Make ready.",
    ),
    "gradient_fault": FaultRow(
        action=A.TRIP,
        problem="The gradient amplifier reports a fault.",
        remedy="Look after the patient, read what the amplifier shows, reset it there, then press Make ready.",
    ),
    "gradient_hot": FaultRow(
        action=A.TRIP,
        problem="The gradient amplifier or coil is too hot.",
        remedy="Look after the patient. Check the fan, let it cool down, then press Make ready.",
    ),
    "magnet_temperature": FaultRow(
        action=A.WARN,
        problem="The magnet is warmer or colder than it should be.",
        remedy="Expect the frequency to drift. Look at the room's temperature; images may be blurred until it is steady.",
    ),
    "coil_unknown": FaultRow(
        action=A.TRIP,
        problem="The {device} has not confirmed its relays: nobody knows whether the coil is tuned, or still connected to "
        "the network analyser instead of the scanner. Nothing is transmitted.",
        remedy="Look after the patient. Switch the {device} off and on, check its cable, then press Make ready and repeat "
        "the prescan.",
    ),
    "gain_unknown": FaultRow(
        action=A.BLOCK,
        problem="The {device} has not confirmed the receiver's gain, so nobody knows how strong signals arrive. Clinical "
        "scans are blocked.",
        remedy="Switch the {device} off and on, check its cable, then run the prescan, which sets the gain.",
    ),
    "gradient_uncalibrated": FaultRow(
        action=A.BLOCK,
        problem="The gradient board does not give the current that it is told to. Clinical scans are blocked.",
        remedy="Repeat the gradient calibration on the Calibration page; if it fails again, call service.",
    ),
    "gradient_silent": FaultRow(
        action=A.BLOCK,
        problem="The gradient board does not answer when its currents are read. Clinical scans are blocked.",
        remedy="Check the gradient board's power and its cable to the console, then run the prescan, which reads it again.",
    ),
    "receiver_clipped": FaultRow(
        action=A.WARN,
        problem="The signal is too strong for the receiver and was clipped.",
        remedy="Repeat the prescan, which sets the receiver's gain, then repeat the scan.",
    ),
    "lines_lost": FaultRow(
        action=A.WARN,  # the runner measures them again by itself, once, and fails when they are lost again
        problem="Some of the measured lines were lost on their way from the console.",
        remedy="They are measured again at the end of the scan. If this repeats, check the network cable.",
    ),
    "frequency_jump": FaultRow(
        action=A.PAUSE,
        problem="The magnet's frequency has changed by more than 500 Hz; its temperature is changing.",
        remedy="A scan that runs waits while the frequency is measured again, then goes on by itself. Before another one, "
        "run the prescan. If this repeats, wait until the room's temperature is steady.",
    ),
    "disk_full": FaultRow(
        action=A.END,
        problem="Less than 2 GB are free on the disk. The scan ended after this part; what was measured is kept.",
        remedy="Send old exams to the archive and delete them here, then repeat the scan.",
    ),
    "clock_jump": FaultRow(
        action=A.WARN,
        problem="This computer's clock was set while the scanner was in use.",
        remedy="Check the date and time: they are written into every image.",
    ),
    "on_battery": FaultRow(
        action=A.WARN,
        problem="The mains power has failed; the scanner runs on its battery.",
        remedy="Finish this scan only. Start no other one until the power is back.",
    ),
    "battery_low": FaultRow(
        action=A.END,
        problem="The battery is nearly empty. The scan ended after this part; what was measured is kept.",
        remedy="Take the patient out and shut the scanner down in order.",
    ),
    "console_restarted": FaultRow(
        action=A.BLOCK,
        problem="The console was restarted or replaced since the prescan.",
        remedy="Repeat the prescan before the next scan.",
    ),
    "transmit_mirrored": FaultRow(
        action=A.BLOCK,
        problem="By the loop-back of this console its transmit phase turns the other way than the hardware file says: "
        "slices beside the isocentre would be taken at the opposite place. Clinical scans are blocked.",
        remedy="Correct tx_phase_sign under [console] of the hardware file as `isocenter doctor` says, then start this "
        "program again.",
    ),
    "program_fault": FaultRow(
        action=A.TRIP,
        problem="A fault of the program ended the scan. The scanner is stopped.",
        remedy="Look after the patient, then press Make ready. Please report it with the scan's folder.",
    ),
}
"""By name. Names in ``DeviceReading.faults`` are keys of it."""


def make_fault(name: str, at_s: float, *, role: DeviceRole | None = None, device: str = "device", detail: str = "") -> Fault:
    """A fault of the matrix as it happens now; a name that is not in it stops the scanner: nobody knows what it means."""
    row = MATRIX.get(name)
    if row is None:
        row = FaultRow(
            action=A.TRIP,
            problem=f"The {device} reports something that this program does not know: {name}. The scanner is stopped.",
            remedy="Look after the patient, read what the device shows, then press Make ready.",
        )
    return Fault(
        name=name,
        action=row.action,
        problem=row.problem.replace("{device}", device),
        remedy=row.remedy.replace("{device}", device),
        role=role,
        at_s=at_s,
        detail=detail,
    )
