# SPDX-License-Identifier: MIT
"""The MaRCoS console as a ``Console``: it plays segments, and leaves every output at zero."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from isocenter.devices.marcos import isa
from isocenter.devices.marcos.correction import CurrentCorrection
from isocenter.devices.marcos.currents import BoardReader, calibrate
from isocenter.devices.marcos.encode import MarcosProgram, encode_segment
from isocenter.devices.marcos.isa import Buffer, Register
from isocenter.devices.marcos.messages import explain_all, remedy_for
from isocenter.devices.marcos.notes import unsafe, version_notes
from isocenter.devices.marcos.outputs import AMPLIFIERS_OFF, Outputs
from isocenter.devices.marcos.receive import sample_gains
from isocenter.devices.marcos.samples import parse_samples
from isocenter.devices.marcos.wire import CLIENT_VERSION, MarcosWire, Reply
from isocenter.devices.protocols import (
    ConsoleIdentity,
    DeviceMessage,
    Prepared,
    RawRun,
    SafeReport,
    Severity,
)
from isocenter.domain.currents import BoardCurrents
from isocenter.domain.errors import (
    ConfigError,
    ConnectError,
    DeviceError,
    DeviceFault,
    DeviceTimeout,
    ProtocolError,
    SamplesLost,
    ScanAborted,
    WrongState,
)
from isocenter.domain.events import Segment
from isocenter.domain.scanner import ConsoleLink, GradientBoard, GradientSystem

T = TypeVar("T")
KINDS: Final = ("hardware", "simulation", "software", "virtual")
_NO_SAMPLES = "no RX data received"  # said to every read of an empty buffer
_LOST_SAMPLES = "RX FIFO/s full"  # what was played was right, what was heard is not all there


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long the driver waits [s].

    Attributes
    ----------
    connect_s, call_s
        To connect; for one command.
    gradient_s
        For the serial line of the gradient board to become idle.
    run_margin_s, stop_margin_s
        Beyond a segment's duration for its reply; the same after Stop was pressed.
    simulated_run_margin_s, simulated_stop_margin_s
        The same on a console that is not hardware and may compute longer than the segment lasts.
    """

    connect_s: float = 3.0
    call_s: float = 3.0
    gradient_s: float = 2.0
    run_margin_s: float = 5.0
    stop_margin_s: float = 2.0
    simulated_run_margin_s: float = 120.0
    simulated_stop_margin_s: float = 30.0


class MarcosConsole:
    """Driver for a MaRCoS server, real, simulated or virtual. Makes no connection until ``open``.

    All methods but ``prepare`` belong to the thread that called the first of them; ``close`` sets it free.

    Parameters
    ----------
    link
        Address and clock.
    gradients
        Board and divider of its serial line.
    deadlines
        How long to wait for what.
    cic_shift
        Also send the decimator's shift word; see ``encode_segment``.

    Raises
    ------
    ConfigError
        When the clock is not the one that a MaRCoS console has, or the divider does not work.
    """

    def __init__(
        self,
        link: ConsoleLink,
        gradients: GradientSystem,
        *,
        deadlines: Deadlines | None = None,
        cic_shift: bool = False,
    ) -> None:
        if link.clock_hz != isa.CLOCK_HZ:
            raise ConfigError(
                f"console.clock is {link.clock_hz / 1e6:g} MHz; a MaRCoS console runs at {isa.CLOCK_HZ / 1e6:g} MHz.",
                f"Set the console's clock in the hardware file to {isa.CLOCK_HZ / 1e6:g} MHz.",
            )
        try:
            isa.check_divider(gradients.board, gradients.spi_divider)
        except ValueError as error:
            raise ConfigError(f"{error}.", "Correct gradients.spi_divider in the hardware file.") from error
        self._gradients, self._cic_shift, self._tx_phase_sign = gradients, cic_shift, link.tx_phase_sign
        self._deadlines = deadlines if deadlines is not None else Deadlines()
        self._wire = MarcosWire(link.host, link.port)
        self._outputs = Outputs(self._call, gradients, self._deadlines.gradient_s)
        self._owner: threading.Thread | None = None
        self._identity: ConsoleIdentity | None = None
        self._notes: list[DeviceMessage] = []
        self._is_ready = False  # the gradient board was started over the connection that is open
        self._correction: CurrentCorrection | None = None
        self.why_lost: Callable[[], str] = str  # what somebody else knows of the console when a run fails; empty for nothing

    def open(self) -> ConsoleIdentity:
        """Connect, check kind and version, initialise the gradient board, bring all outputs to zero.

        What the server said meanwhile comes with the next run's messages.
        """
        self._claim()
        self._is_ready = False
        self._notes.clear()
        self._wire.connect(self._deadlines.connect_s)
        try:
            self._identity = self._identify()
            self._outputs.halt()
            self._call({"read_rx": 0})
            self._outputs.zero_digital()
            self._outputs.start_gradients()
            self._outputs.verify_idle()
            self._is_ready = True
        except DeviceError:
            self._wire.close()
            raise
        return self._identity

    def close(self) -> None:
        """Zero the outputs if possible and drop the link. Never raises."""
        if self._owner is not None and self._owner.is_alive() and self._owner is not threading.current_thread():
            return  # the owner is using it; closing under its hands could hide an output that stays on
        try:
            if self._wire.is_open:
                self._outputs.zero()
        except DeviceError:
            self._wire.close()
        self._wire.close()
        self._owner = None

    def prepare(self, segment: Segment, lo_hz: float) -> MarcosProgram:
        """Encode a segment. Pure; any thread may call it."""
        return encode_segment(
            segment,
            lo_hz,
            self._gradients,
            cic_shift=self._cic_shift,
            correction=self._correction,
            tx_phase_sign=self._tx_phase_sign,
        )

    def set_currents(self, currents: BoardCurrents | None) -> None:
        """Play from now on with this calibration of a GPA-FHDO; None for none. Any thread, but not while a scan runs.

        Raises
        ------
        ConfigError
            The board has no currents that could be calibrated.
        """
        if currents is not None and self._gradients.board is not GradientBoard.GPA_FHDO:
            raise ConfigError("Only a GPA-FHDO can be calibrated: the other board cannot be read.", "Leave it uncalibrated.")
        self._correction = CurrentCorrection(currents) if currents is not None else None
        zero = self._correction.code if self._correction is not None else (lambda _channel, wanted: wanted)
        self._outputs.zero_codes = (zero(0, 0), zero(1, 0), zero(2, 0))

    def calibrate_currents(self, full_scale_a: float, max_a: float, cancel: Event) -> BoardCurrents:
        """Measure what a GPA-FHDO gives for what it is told; changes nothing that is in use. See ``currents.calibrate``."""
        return self.use_board(full_scale_a, lambda reader: calibrate(reader, full_scale_a, max_a, cancel))

    def use_board(self, full_scale_a: float, work: Callable[[BoardReader], T]) -> T:
        """Do something with the currents of a GPA-FHDO outside runs; all channels are at zero afterwards."""
        self._claim()
        if self._gradients.board is not GradientBoard.GPA_FHDO:
            raise ConfigError("This gradient board cannot be read back, so it cannot be calibrated.", "Use a GPA-FHDO.")
        if not (self._wire.is_open and self._is_ready):
            self.open()
        try:
            return work(BoardReader(self._outputs, full_scale_a))
        finally:
            self._outputs.zero()

    def read_currents(self, full_scale_a: float) -> tuple[float, float, float]:
        """Currents of channels x, y, z of a GPA-FHDO now [A]."""
        self._claim()
        reader = BoardReader(self._outputs, full_scale_a)
        return reader.read(0) * full_scale_a, reader.read(1) * full_scale_a, reader.read(2) * full_scale_a

    def play(self, prepared: Prepared, cancel: Event) -> RawRun:
        """Play one segment and return its samples; outputs are zero before and after."""
        self._claim()
        if not isinstance(prepared, MarcosProgram):
            raise TypeError(f"play() takes what prepare() of this driver returned, not {type(prepared).__name__}")
        if prepared.control != isa.gradient_control(self._gradients.board, self._gradients.spi_divider, msb_strobes=True):
            raise ValueError(f"segment {prepared.index} was prepared for another gradient board or divider")
        if prepared.correction is not self._correction:
            raise ValueError(f"segment {prepared.index} was prepared with another calibration of the gradient board")
        if cancel.is_set():
            raise self._aborted(None)
        if not (self._wire.is_open and self._is_ready):
            self.open()
        samples: NDArray[np.complex64] | None = None
        try:
            self._before_run()
            if cancel.is_set():
                raise self._aborted(None)
            reply = self._run(prepared, cancel)
            said = explain_all(reply.messages)
            samples, counts = self._samples(reply.results["run_seq"], prepared)
            if cancel.is_set():
                raise self._aborted(samples)
            self._outputs.zero()
            self._judge(prepared, counts, said)
        except DeviceError as error:
            self._append_safety(error, samples)
            raise
        notes = (*self._notes, *(note for note in said if prepared.n_raw or not note.original.startswith(_NO_SAMPLES)))
        self._notes.clear()
        return RawRun(samples=samples, messages=tuple(dict.fromkeys(notes)))  # a server of another version says so each time

    def make_safe(self) -> SafeReport:
        """Halt, then write zero to every output and verify. Reconnects if it must. Never raises."""
        try:
            self._claim()
        except WrongState as error:
            return unsafe(error)
        attempts = 2 if self._wire.is_open else 1
        for attempt in range(attempts):
            try:
                if not self._wire.is_open:
                    self._is_ready = False
                    self._wire.connect(self._deadlines.connect_s)
                    self._identity = self._identify()
                self._outputs.halt()
                self._outputs.zero()
                shares = self._zero_currents()
            except DeviceError as error:
                self._wire.close()
                if attempt == attempts - 1:
                    return unsafe(error)
            else:
                break
        text = "The console is stopped; every output is at zero."
        message = DeviceMessage(severity=Severity.INFO, text=text, original="idle")
        return SafeReport(verified=True, messages=(message,), zero_currents_share=shares)

    def _zero_currents(self) -> tuple[float, ...]:
        """What a GPA-FHDO gives at zero, of full scale; empty where that cannot be known."""
        full_scale_a = self._gradients.board_full_scale_a
        if self._gradients.board is not GradientBoard.GPA_FHDO or math.isnan(full_scale_a):
            return ()
        return BoardReader(self._outputs, full_scale_a).currents()

    def _claim(self) -> None:
        """The first thread to touch the device owns it."""
        me = threading.current_thread()
        if self._owner is None or not self._owner.is_alive():
            self._owner = me
        if self._owner is not me:
            raise WrongState(
                f"The console belongs to thread {self._owner.name!r}; {me.name!r} may not use it.",
                "Wait until the running task has ended, then try again; report this if it happens again.",
            )

    def _call(self, commands: dict[str, Any]) -> Reply:
        reply = self._wire.call(commands, self._deadlines.call_s)
        self._notes += (note for note in explain_all(reply.messages) if not note.original.startswith(_NO_SAMPLES))
        return reply

    def _note(self, text: str, original: str) -> None:
        self._notes.append(DeviceMessage(severity=Severity.WARNING, text=text, original=original))

    def _identify(self) -> ConsoleIdentity:
        try:
            reply = self._call({"are_you_real": 0})
        except DeviceTimeout as error:
            raise ConnectError(
                f"Something accepts connections at {self._wire.address} but does not answer as a MaRCoS server.",
                "Close other programs that use the console (it serves one at a time), then check host and port in the "
                "hardware file and restart the console's server.",
            ) from error
        kind, version = reply.results["are_you_real"], ".".join(map(str, reply.version))
        if kind not in KINDS:
            raise ProtocolError(
                f"The console at {self._wire.address} calls itself {kind!r}; known are {', '.join(KINDS)}.",
                "Check the address in the hardware file; update this program if the console is newer.",
            )
        if reply.version[0] != CLIENT_VERSION[0]:
            raise ConnectError(
                f"The console at {self._wire.address} runs version {version}; this program speaks version "
                f"{'.'.join(map(str, CLIENT_VERSION))}.",
                f"Install a server of version {CLIENT_VERSION[0]}.{CLIENT_VERSION[1]} on the console.",
            )
        self._notes += version_notes(reply)
        return ConsoleIdentity(family="MaRCoS", version=version, kind=kind)

    def _before_run(self) -> None:
        """Disable both gradient cores, whose enable would make the initial writes look like lost data; drain old samples."""
        if self._outputs.status()[Register.EXEC] >> 24 != isa.STATE_IDLE:
            self._outputs.halt()
        self._outputs.rest()
        self._outputs.direct(Buffer.GRAD_CTRL, 0)
        reply = self._call({"read_rx": 0})
        n_stale = sum(map(len, parse_samples(reply.results["read_rx"])))
        if n_stale:
            self._note(f"{n_stale} samples of an earlier run were still in the console; they were discarded.", "read_rx")

    def _run(self, program: MarcosProgram, cancel: Event) -> Reply:
        limits, began = self._deadlines, time.monotonic()
        real = self._identity is not None and self._identity.is_real
        margin_s = limits.run_margin_s if real else limits.simulated_run_margin_s
        stop_margin_s = min(margin_s, limits.stop_margin_s if real else limits.simulated_stop_margin_s)

        def deadline() -> float:
            return began + program.duration_s + (stop_margin_s if cancel.is_set() else margin_s)

        words = program.words.astype("<u4", copy=False).tobytes()
        most = program.n_channels * (program.n_raw + isa.RX_FIFO_SAMPLES)
        return self._wire.call({"run_seq": words}, margin_s, deadline=deadline, max_samples=most)

    def _samples(self, result: Any, program: MarcosProgram) -> tuple[NDArray[np.complex64], tuple[int, ...]]:
        """Samples of a run, those included that the server left in its FIFOs, on the scale of the receiver.

        With them how many each receiver in use delivered; the samples are as many as all of them have.
        """
        channels = parse_samples(result)
        if any(len(samples) < program.n_raw for samples in channels[: program.n_channels]):
            rest = parse_samples(self._call({"read_rx": 0}).results["read_rx"])
            if n_rest := sum(map(len, rest)):
                channels = np.concatenate([channels[0], rest[0]]), np.concatenate([channels[1], rest[1]])
                self._note(f"{n_rest} samples had to be fetched after the run.", "read_rx")
        if program.n_channels == 1 and len(channels[1]):
            text = f"The second receiver sent {len(channels[1])} samples, which nobody asked for; they were discarded."
            self._note(text, "rx1")
        counts = tuple(map(len, channels[: program.n_channels]))
        samples = np.stack([channel[: min(counts)] for channel in channels[: program.n_channels]])
        n = min(samples.shape[1], program.n_raw)
        samples[:, :n] *= sample_gains(program.window_decimation, program.window_n_raw)[:n]
        return (samples if program.n_channels > 1 else samples[0]), counts

    def _judge(self, program: MarcosProgram, counts: tuple[int, ...], notes: tuple[DeviceMessage, ...]) -> None:
        """Raise DeviceFault when the server reported an error or the number of samples is wrong."""
        errors = [note for note in notes if note.severity is Severity.ERROR]
        if errors:
            said = " ".join(dict.fromkeys(note.text for note in notes if note.severity is not Severity.INFO))
            kind = SamplesLost if all(_LOST_SAMPLES in note.original for note in errors) else DeviceFault
            raise kind(f"{said} (segment {program.index}: {errors[0].original})", remedy_for(errors[0].original))
        if any(count != program.n_raw for count in counts):
            delivered = " and ".join(map(str, counts)) + (
                " samples of the coil and the sensor" if counts[1:] else " samples"
            )
            raise SamplesLost(
                f"The console delivered {delivered} for segment {program.index}, which has {program.n_raw}.",
                "Start the scan again; if it happens again, use a longer dwell time and report it with the scan folder.",
            )

    def _aborted(self, samples: NDArray[np.complex64] | None) -> ScanAborted:
        report = self.make_safe()
        error = ScanAborted(
            "The scan was stopped. " + " ".join(message.text for message in report.messages),
            "Start the scan again when the patient is ready." if report.verified else AMPLIFIERS_OFF,
        )
        error.partial = samples
        return error

    def _append_safety(self, error: DeviceError, samples: NDArray[np.complex64] | None) -> None:
        """After a fault: stop the console, and let the error say if that could not be verified."""
        self._notes.clear()
        if error.partial is None:
            error.partial = samples
        if not self.make_safe().verified:
            error.problem += " The console could not be brought to zero."
            error.remedy = f"{AMPLIFIERS_OFF} {error.remedy}" if error.remedy != AMPLIFIERS_OFF else error.remedy
        error.problem = f"{self.why_lost()} {error.problem}".strip()
        error.args = (error.problem, error.remedy)
