# SPDX-License-Identifier: MIT
"""What a loop-back says of the console, in words, and what is kept of it: which way the transmit phase turns."""

import cmath
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from isocenter.app.finding import Finding
from isocenter.app.loop_back import SHARES, STEP_RAD, Arrival, attenuator_db, filter_ticks
from isocenter.app.service import Health
from isocenter.app.transmit_phase import store_of
from isocenter.domain.calibration import CalibrationValue, Quantity, RefusedCalibration
from isocenter.domain.scanner import Scanner

SEEN: Final = "Loop-back: direction of the phase"
"""As it was seen just now."""
HEARD: Final = 10.0
"""Times the noise."""
CLIPPED: Final = 0.98
FREQUENCY_HZ: Final = 200.0
PHASE_RAD: Final = math.radians(15.0)
"""What a pulse may be away from where it was sent, to count as that one."""
LINEAR_GOOD: Final = 0.01
LINEAR_BAD: Final = 0.05
"""Difference of the gain of the weakest and the strongest pulse."""
IMAGE_GOOD_DB: Final = -40.0
IMAGE_BAD_DB: Final = -25.0
DELAY_GOOD: Final = 0.5
DELAY_BAD: Final = 1.5
"""Samples."""


def cable_text(scanner: Scanner) -> str:
    """What a person does before a loop-back."""
    return (
        "Take the RF amplifier and the receive coil off the console, then connect its transmit output to its receive input "
        f"through an attenuator of {attenuator_db(scanner)} dB."
    )


def direction_of(arrivals: Sequence[Arrival]) -> int:
    """1: frequencies and phases came back as they were sent; -1: all of them mirrored; 0: neither."""
    plain, _ = _pair(arrivals)
    said = {_side(_step_rad(arrivals), STEP_RAD, PHASE_RAD)}
    for one in arrivals:
        if one.offset_hz:
            is_all_there = (
                _stronger(one) > abs(plain.level) * one.share / plain.share / 2 and _weaker(one) < _stronger(one) / 2
            )
            said.add(_side(one.frequency_hz, one.offset_hz, FREQUENCY_HZ) if is_all_there else 0)
    return said.pop() if len(said) == 1 else 0


def _side(seen: float, sent: float, tolerance: float) -> int:
    return 1 if abs(seen - sent) <= tolerance else -1 if abs(seen + sent) <= tolerance else 0


def _step_rad(arrivals: Sequence[Arrival]) -> float:
    plain, stepped = _pair(arrivals)
    return cmath.phase(stepped.level * plain.level.conjugate())


def _pair(arrivals: Sequence[Arrival]) -> tuple[Arrival, Arrival]:
    """A plain pulse, and one as strong with the step in its phase."""
    stepped = next(one for one in arrivals if one.phase_rad)
    return next(one for one in arrivals if not (one.phase_rad or one.offset_hz) and _is_like(one, stepped)), stepped


def _is_like(one: Arrival, other: Arrival) -> bool:
    return abs(one.share - other.share) < 0.1 * other.share


def why_unusable(arrivals: Sequence[Arrival], scanner: Scanner) -> Finding | None:
    """What keeps a loop-back from saying anything; None when nothing does."""
    if max(one.peak for one in arrivals) >= CLIPPED:
        return Finding(
            what=SEEN,
            health=Health.WARNING,
            text=f"not judged: pulses of {max(SHARES) * 100:g} % of full scale clip the receiver",
            remedy=f"Use a stronger attenuator than {attenuator_db(scanner)} dB, then repeat.",
        )
    weakest = min((one for one in arrivals if one.offset_hz), key=_snr)  # both parts of the transmitter play these
    if _snr(weakest) < HEARD:
        return Finding(
            what=SEEN,
            health=Health.UNKNOWN,
            text=f"not judged: a pulse of {weakest.share * 100:.3g} % of full scale comes back at {_snr(weakest):.1f} times "
            "the noise",
            remedy=f"{cable_text(scanner)} Then repeat; with a weaker attenuator if it is connected so already.",
        )
    return None


def _snr(one: Arrival) -> float:
    return max(abs(one.level), abs(one.opposite)) / max(one.noise, 1e-12)


def judge_loop_back(arrivals: Sequence[Arrival], scanner: Scanner) -> tuple[Finding, ...]:
    """Everything that a loop-back says."""
    unusable = why_unusable(arrivals, scanner)
    if unusable is not None:
        return (unusable,)
    return _direction(arrivals, scanner), _gain(arrivals), _delay(arrivals), _image(arrivals)


def _direction(arrivals: Sequence[Arrival], scanner: Scanner) -> Finding:
    found = direction_of(arrivals)
    frequencies = " and ".join(
        f"{one.offset_hz * 1e-3:+.0f} kHz came back at {one.frequency_hz * 1e-3:+.1f} kHz"
        for one in arrivals
        if one.offset_hz
    )
    seen = f"{frequencies}, {math.degrees(STEP_RAD):+.0f}° at {math.degrees(_step_rad(arrivals)):+.1f}°"
    if found > 0:
        return Finding(what=SEEN, health=Health.GOOD, text=f"right: {seen}")
    if found < 0:
        entry = (
            f'tx_phase_sign = {{ value = {-scanner.console.tx_phase_sign}, evidence = "measured", source = "loop-back" }}'
        )
        return Finding(
            what=SEEN,
            health=Health.BAD,
            text=f"mirrored: {seen}. A slice beside the isocentre would be taken at the opposite place",
            remedy=f"Scan nobody. Write {entry} under [console] of the hardware file '{scanner.name}', then repeat.",
        )
    return Finding(
        what=SEEN,
        health=Health.BAD,
        text=f"neither right nor mirrored: {seen}",
        remedy="Scan nobody. Check that nothing else is on the cable and that the bitstream is one for this board; then "
        "repeat.",
    )


def _gain(arrivals: Sequence[Arrival]) -> Finding:
    ladder = [one for one in arrivals if not (one.offset_hz or one.phase_rad)]
    weakest = min(ladder, key=_snr)
    if _snr(weakest) < HEARD:
        text = f"not judged: a pulse of {weakest.share * 100:.3g} % comes back at {_snr(weakest):.1f} times the noise"
        remedy = "Use a weaker attenuator, then repeat."
        return Finding(what="Loop-back: gain", health=Health.UNKNOWN, text=text, remedy=remedy)
    gains = [one.level / one.share for one in ladder]
    mean = sum(gains) / len(gains)
    spread = max(1e-4, *(abs(gain / mean - 1) for gain in gains))
    doubt = max(3 * one.noise / abs(one.level) for one in ladder)
    health = Health.GOOD if spread <= LINEAR_GOOD + doubt else Health.WARNING if spread <= LINEAR_BAD + doubt else Health.BAD
    return Finding(
        what="Loop-back: gain",
        health=Health.UNKNOWN if doubt > LINEAR_BAD else health,
        text=f"{20 * math.log10(abs(mean)):+.1f} dB from full scale to full scale, the same within {spread * 100:.2g} % "
        f"from {min(SHARES) * 100:g} to {max(SHARES) * 100:g} % of full scale (noise {doubt * 100:.2g} %)",
        remedy="Check the cable and the attenuator; the amplitude of pulses is not what a scan asks for.",
    )


def _delay(arrivals: Sequence[Arrival]) -> Finding:
    what = "Loop-back: delay of reception"
    best = min((one for one in arrivals if not math.isnan(one.delay_ticks)), key=_delay_sd, default=None)
    if best is None or _delay_sd(best) > DELAY_GOOD / 3:
        text = "not judged: the pulses are too weak beside the noise"
        return Finding(what=what, health=Health.UNKNOWN, text=text, remedy="Use a weaker attenuator, then repeat.")
    seen, expected = best.delay_ticks / best.decimation, filter_ticks(best.decimation) / best.decimation
    off = abs(seen - expected)
    return Finding(
        what=what,
        health=Health.GOOD if off <= DELAY_GOOD else Health.WARNING if off <= DELAY_BAD else Health.BAD,
        text=f"{seen:.2f} ± {_delay_sd(best):.2f} samples, expected {expected:.2f} (one in {best.decimation} ticks)",
        remedy="The bitstream's receive filter is another one than this program knows: images would be shifted in phase. "
        "Install the bitstream that belongs to the server, then repeat.",
    )


def _delay_sd(one: Arrival) -> float:
    return one.delay_sd_ticks / one.decimation


def _image(arrivals: Sequence[Arrival]) -> Finding:
    offset = [one for one in arrivals if one.offset_hz]
    worst = max(offset, key=lambda one: _weaker(one) / _stronger(one))
    floor = max(3 * worst.noise / _stronger(worst), 1e-6)
    share = _weaker(worst) / _stronger(worst)
    shown_db, floor_db = 20 * math.log10(max(share, floor)), 20 * math.log10(floor)
    is_noise = share <= floor
    health = Health.GOOD if shown_db <= IMAGE_GOOD_DB else Health.WARNING if shown_db <= IMAGE_BAD_DB else Health.BAD
    return Finding(
        what="Loop-back: mirror image",
        health=Health.UNKNOWN if is_noise and health is not Health.GOOD else health,
        text=f"below {shown_db:.0f} dB, where the noise begins"
        if is_noise
        else f"{shown_db:.0f} dB (noise {floor_db:.0f} dB)",
        remedy="One part of the transmitted signal is weaker than the other, or missing: try another cable and another "
        "output; then have the board looked at.",
    )


def _stronger(one: Arrival) -> float:
    return max(abs(one.level), abs(one.opposite))


def _weaker(one: Arrival) -> float:
    return min(abs(one.level), abs(one.opposite))


# --- what is kept ---------------------------------------------------------------------------------------------------


def keep_direction(scanner: Scanner, folder: Path, arrivals: Sequence[Arrival], person: str, *, is_real: bool) -> None:
    """Keep which way the board was seen to turn, whatever the hardware file says, or that it could not be told.

    A loop-back in which nothing was heard leaves what is kept as it is.

    Parameters
    ----------
    person
        Who connected the cable.
    is_real
        False for a simulated console, which says nothing of a real one of the same name.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    if why_unusable(arrivals, scanner) is not None:
        return
    store, quantity, now_s = store_of(scanner, folder, is_real=is_real), Quantity.TX_PHASE_SIGN, time.time()
    sign = float(direction_of(arrivals) * scanner.console.tx_phase_sign)
    if sign:
        store.accept(CalibrationValue(quantity=quantity, value=(sign,), sd=(math.nan,), measured_at_s=now_s), by=person)
    else:
        reason = _direction(arrivals, scanner).text
        store.refuse(RefusedCalibration(quantity=quantity, reason=reason, refused_at_s=now_s), by=person)
