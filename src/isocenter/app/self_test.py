# SPDX-License-Identifier: MIT
"""What ``isocenter doctor --self-test`` tries on the scanner itself, with nobody inside: a weak pulse, weak currents, a cut.

Nothing is transmitted by the amplifier: it stays blanked, and no device but the interlock controller is switched.

Source
------
Reference domain.md 4.5, last lines.
"""

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.app.finding import Finding
from isocenter.app.loop_back import Arrival, play_loop_back
from isocenter.app.loop_back_report import SEEN, cable_text, judge_loop_back, keep_direction
from isocenter.app.service import Health
from isocenter.devices.catalogue import make_peripherals
from isocenter.devices.interlock import IsocenterInterlock
from isocenter.devices.marcos.currents import probe
from isocenter.devices.marcos.driver import MarcosConsole
from isocenter.devices.protocols import ConsoleIdentity
from isocenter.domain.device import Condition, DeviceRole
from isocenter.domain.errors import AcquisitionError, ConsoleError, LimitError, StorageError
from isocenter.domain.events import TX_FULL_SCALE, Segment, Track
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import GradientBoard, Scanner, nominal_calibration

BLANK_S: Final = 0.01
"""A controller should have cut the outputs by then [s]."""
BLANK_LATE_S: Final = 0.1
PULSE_SHARE: Final = 0.01
"""Of full scale: -40 dB."""
CURRENT_A: Final = 0.5
CURRENT_GOOD: Final = 0.02
CURRENT_BAD: Final = 0.05
"""Of full scale: what a current may differ from what was told."""
FAST_BYTES_PER_S: Final = 20e6
SLOW_BYTES_PER_S: Final = 4e6
"""Two channels at a million samples a second are 16 million bytes; a usual scan has a tenth of that."""
_PROBE_BYTES: Final = 32_000_000
_HEARD: Final = 10.0  # times the noise of the mean
_CLIPPED: Final = 0.98
_NO_MIXERS: Final = "simulation"
_LISTEN: Final = Protocol(
    name="Self-test",
    sequence="noise",
    parameters={"bandwidth_hz": 50e3, "n_samples": 1024, "windows": 1, "pause_s": 0.02, "spoiler_s": 0.0},
)


def self_test(scanner: Scanner, data_folder: Path, *, cable_by: str = "") -> Iterator[Finding]:
    """Everything that this scanner has the parts for; yields findings as they come.

    ``cable_by`` says who has connected the console's output to its input, as ``loop_back_report.cable_text`` asks for;
    empty for nobody, then there is no loop-back.
    """
    yield disk_rate(data_folder)
    yield time_to_blank(scanner)
    console = MarcosConsole(scanner.console, scanner.gradients)
    try:
        identity = console.open()
        yield gradient_currents(scanner, console)
        weak = weak_pulse(scanner, console)
        yield weak
        if cable_by:
            yield from loop_back(scanner, console, identity, weak, partial(_keep, scanner, data_folder, cable_by, identity))
        if not console.make_safe().verified:
            yield Finding(
                what="Console after the self-test",
                health=Health.BAD,
                text="not confirmed that every output is at zero",
                remedy="Switch the amplifiers off by hand, then restart the console.",
            )
    except ConsoleError as error:
        yield Finding(what="Console", health=Health.BAD, text=error.problem, remedy=error.remedy)
    finally:
        console.close()


def loop_back(
    scanner: Scanner,
    console: MarcosConsole,
    identity: ConsoleIdentity,
    weak: Finding,
    keep: Callable[[Sequence[Arrival]], None],
) -> Iterator[Finding]:
    """Stronger pulses over a cable from transmitter to receiver; ``weak`` is what the weak one said, ``keep`` keeps them."""
    if identity.kind == _NO_MIXERS:
        text = "not tried: the loop-back of simulated hardware leads around its mixers and filters"
        yield Finding(what=SEEN, health=Health.UNKNOWN, text=text, remedy="Connect the board itself.")
    elif weak.health is Health.WARNING:
        text = "not tried: the weak pulse alone clips the receiver"
        yield Finding(what=SEEN, health=Health.UNKNOWN, text=text, remedy=cable_text(scanner))
    else:
        try:
            arrivals = play_loop_back(scanner, console)
        except LimitError as error:
            text = f"not tried: this scanner's limits do not allow the pulses. {error.problem}"
            yield Finding(what=SEEN, health=Health.UNKNOWN, text=text, remedy=error.remedy)
            return
        yield from judge_loop_back(arrivals, scanner)
        try:
            keep(arrivals)
        except StorageError as error:
            yield Finding(what="Loop-back: what is kept", health=Health.BAD, text=error.problem, remedy=error.remedy)


def _keep(scanner: Scanner, folder: Path, person: str, identity: ConsoleIdentity, arrivals: Sequence[Arrival]) -> None:
    keep_direction(scanner, folder, arrivals, person, is_real=identity.is_real)


def disk_rate(folder: Path, n_bytes: int = _PROBE_BYTES) -> Finding:
    """How fast raw data reach the disk itself."""
    block = np.random.default_rng(1).bytes(1_000_000)  # that no disk can press together
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            began_s = time.monotonic()
            for _ in range(max(n_bytes // len(block), 1)):
                probe.write(block)
            probe.flush()
            os.fsync(probe.fileno())
            rate = n_bytes / max(time.monotonic() - began_s, 1e-6)
    except OSError as error:
        return Finding(
            what="Disk speed",
            health=Health.BAD,
            text=f"nothing can be written to {folder}: {error.strerror}",
            remedy="Free some space, or name another folder in the environment variable ISOCENTER_DATA.",
        )
    return judge_rate(rate)


def judge_rate(bytes_per_s: float) -> Finding:
    """A rate against what scans need."""
    health = Health.GOOD if bytes_per_s >= FAST_BYTES_PER_S else Health.WARNING
    return Finding(
        what="Disk speed",
        health=health if bytes_per_s >= SLOW_BYTES_PER_S else Health.BAD,
        text=f"{bytes_per_s / 1e6:.0f} MB/s reach the disk; {FAST_BYTES_PER_S / 1e6:.0f} MB/s are enough for every scan",
        remedy="Keep the data on a disk inside the computer, not on a network or a memory stick.",
    )


def time_to_blank(scanner: Scanner) -> Finding:
    """Release the interlock controller's outputs for a moment, and see how soon it says that they are cut again."""
    what = "Time to blank"
    link = next((link for link in scanner.devices if link.role is DeviceRole.INTERLOCK), None)
    if link is None:
        return Finding(what=what, health=Health.UNKNOWN, text="this scanner has no interlock controller that could tell")
    try:
        (device,) = make_peripherals((link,))
        assert isinstance(device, IsocenterInterlock)
        try:
            took_s = _cut_once(device)
        finally:
            device.close()
    except ConsoleError as error:
        return Finding(what=what, health=Health.BAD, text=error.problem, remedy=error.remedy)
    if math.isnan(took_s):
        text = "not tried: the interlock controller is armed or has tripped"
        return Finding(what=what, health=Health.UNKNOWN, text=text, remedy="End the scan or press Make ready, then repeat.")
    return judge_blanking(took_s)


def judge_blanking(took_s: float) -> Finding:
    """A time, with the way there and back in it, against what a stop needs."""
    health = Health.GOOD if took_s < BLANK_S else Health.WARNING if took_s < BLANK_LATE_S else Health.BAD
    return Finding(
        what="Time to blank",
        health=health,
        text=f"the controller confirmed {took_s * 1e3:.1f} ms after the question that both outputs are cut",
        remedy="Connect the controller by USB rather than over a network, and close programs that slow this computer down.",
    )


def _cut_once(device: IsocenterInterlock) -> float:
    device.open()
    if device.poll().condition is not Condition.STANDBY:
        return math.nan
    try:
        device.enable()
        began_s = time.monotonic()
        device.trip()
        return time.monotonic() - began_s
    finally:
        device.clear_fault()
        device.standby()


def gradient_currents(scanner: Scanner, console: MarcosConsole) -> Finding:
    """Half an ampere both ways on each channel, read back by the board."""
    what, system = "Gradient currents", scanner.gradients
    full_a = system.board_full_scale_a
    if system.board is not GradientBoard.GPA_FHDO or math.isnan(full_a):
        why = "the hardware file does not say its full scale"
        why = why if system.board is GradientBoard.GPA_FHDO else f"a board of the kind {system.board.value} cannot be read"
        return Finding(what=what, health=Health.UNKNOWN, text=f"not tried: {why}")
    try:
        seen_a = console.use_board(full_a, lambda reader: probe(reader, full_a, CURRENT_A))
    except AcquisitionError as error:
        return Finding(what=what, health=Health.BAD, text=error.problem, remedy=error.remedy)
    return judge_currents(seen_a, full_a)


def judge_currents(seen_a: tuple[tuple[float, float], ...], full_a: float) -> Finding:
    """Currents at +0.5 and -0.5 A of channels x, y, z."""
    text = ", ".join(f"{name} {plus:+.2f} and {minus:+.2f} A" for name, (plus, minus) in zip("xyz", seen_a, strict=True))
    worst = max(abs(seen - told) for pair in seen_a for seen, told in zip(pair, (CURRENT_A, -CURRENT_A), strict=True))
    flows = max(abs(plus - minus) for plus, minus in seen_a) > CURRENT_A / 2
    if not flows:
        return Finding(
            what="Gradient currents",
            health=Health.UNKNOWN,
            text=f"told {CURRENT_A:g} A both ways, but no current flows ({text})",
            remedy="Switch the gradient board's supply on and connect its coils, then repeat.",
        )
    share = worst / full_a
    health = Health.GOOD if share <= CURRENT_GOOD else Health.WARNING if share <= CURRENT_BAD else Health.BAD
    return Finding(
        what="Gradient currents",
        health=health,
        text=f"told +{CURRENT_A:g} and -{CURRENT_A:g} A, read back {text}",
        remedy="Check the cables and the supply of the board, then calibrate the gradient currents on the Service page.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A weak pulse in the receiver.

    Attributes
    ----------
    level, peak
        Mean of what came with the pulse, and largest sample, of full scale.
    snr
        Level over what the noise alone would give.
    """

    level: float
    peak: float
    snr: float


def weak_pulse(scanner: Scanner, console: MarcosConsole) -> Finding:
    """Transmit with 1 % of full scale, the amplifier blanked, while the receiver listens; half of the time without."""
    calibration = nominal_calibration(scanner)
    segment, split = _with_pulse(_listening(scanner))
    samples = console.play(console.prepare(segment, calibration.larmor_hz), Event()).samples
    coil = samples if samples.ndim == 1 else samples[0]
    return judge_pulse(hear(coil, split))


def _listening(scanner: Scanner) -> Segment:
    from isocenter.app.prepare import prepare

    prepared = prepare(_LISTEN, scanner, nominal_calibration(scanner), PatientPosition.HFS)
    return next(segment for segment in prepared.scan.segments if len(segment.readouts))


def _with_pulse(segment: Segment) -> tuple[Segment, float]:
    """The segment with a pulse in the second half of its window; the share of the window after which it comes."""
    start = int(segment.readouts.window_tick[0])
    length = int(segment.readouts.decimation[0]) * int(segment.readouts.n_raw[0])
    ticks = np.array([start + length // 2, start + length], dtype=np.int64)
    pulse = Track(ticks, np.array([round(PULSE_SHARE * TX_FULL_SCALE), 0], dtype=np.int32))
    return replace(segment, tracks={**segment.tracks, "tx0_i": pulse}), 0.5


def hear(samples: NDArray[np.complex64], split: float) -> Heard:
    """Compare the part before a pulse with the part in it; the edges are left out."""
    n, at = len(samples), round(len(samples) * split)
    quiet, loud = samples[n // 10 : at - n // 20], samples[at + n // 20 : n - n // 20]
    level = float(abs(loud.mean() - quiet.mean()))
    noise = float(quiet.std()) / math.sqrt(len(quiet))
    return Heard(level=level, peak=float(np.abs(samples).max()), snr=level / max(noise, 1e-9))


def judge_pulse(heard: Heard) -> Finding:
    """What a pulse that was heard, or not, says of the chain."""
    what = "Weak RF pulse"
    if heard.peak >= _CLIPPED:
        return Finding(
            what=what,
            health=Health.WARNING,
            text=f"a pulse of {PULSE_SHARE * 100:g} % of full scale clips the receiver",
            remedy="Lower the receiver's gain, or put an attenuator between transmitter and receiver; then repeat.",
        )
    if heard.snr < _HEARD:
        return Finding(
            what=what,
            health=Health.UNKNOWN,
            text=f"a pulse of {PULSE_SHARE * 100:g} % of full scale is not heard with the amplifier blanked "
            f"({heard.snr:.1f} times the noise)",
            remedy="To test the console alone, connect its output to its input through an attenuator of 40 dB, then repeat.",
        )
    return Finding(
        what=what,
        health=Health.GOOD,
        text=f"a pulse of {PULSE_SHARE * 100:g} % of full scale is heard at {heard.level * 100:.2g} % of the receiver's, "
        f"{min(heard.snr, 9999):.0f} times the noise",
    )
