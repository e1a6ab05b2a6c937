# SPDX-License-Identifier: MIT
"""A MaRCoS console's outputs outside a run: halt, immediate writes, the gradient boards, zero and its verification."""

import time
from collections.abc import Callable
from typing import Any, Final

from isocenter.devices.marcos import boards, isa
from isocenter.devices.marcos.isa import Buffer, Register
from isocenter.devices.marcos.wire import Reply
from isocenter.domain.errors import DeviceFault, DeviceTimeout, ProtocolError
from isocenter.domain.scanner import GradientSystem

AMPLIFIERS_OFF: Final = "Switch the RF and gradient amplifiers off at the rack now, then check the console and its cable."

_ZEROED = (Buffer.TX0_I, Buffer.TX0_Q, Buffer.TX1_I, Buffer.TX1_Q, Buffer.GATES_LEDS, Buffer.RX_CTRL)


class Outputs:
    """Everything the console drives, written at once instead of from a program.

    Parameters
    ----------
    call
        Sends commands and returns the reply.
    gradients
        Board and divider.
    gradient_s
        Longest wait for the board's serial line [s].
    """

    def __init__(self, call: Callable[[dict[str, Any]], Reply], gradients: GradientSystem, gradient_s: float) -> None:
        self._call, self._gradients, self._gradient_s = call, gradients, gradient_s
        self.zero_codes = (0, 0, 0)  # at which no current flows
        self._resting_codes: tuple[int, int, int] | None = None  # as last written, by whatever calibration held then

    def halt(self) -> None:
        """Stop the sequencer; DeviceFault if it does not become idle."""
        if self._call({"halt_and_reset": 0}).results["halt_and_reset"] is not True:
            raise DeviceFault("The console does not halt: its sequencer is not idle.", AMPLIFIERS_OFF)

    def status(self, extra: dict[str, Any] | None = None) -> dict[Register, int]:
        """Status registers, read after the commands in ``extra``."""
        values = self._call({"regstatus": 0, **(extra or {})}).results["regstatus"]
        if not isinstance(values, list) or len(values) != len(Register) or not all(isinstance(v, int) for v in values):
            raise ProtocolError(f"The console's status is {values!r}.", "Restart the console's server and try again.")
        return dict(zip(Register, values, strict=True))

    def direct(self, buffer: int, value: int) -> None:
        """Immediate write. The console ignores it without a word unless it is idle, so that is checked around it."""
        result = self._call({"direct": isa.direct_word(buffer, value)}).results["direct"]
        if result != 0:
            raise DeviceFault(f"The console refused to set {Buffer(buffer).name} ({result!r}).", AMPLIFIERS_OFF)

    def verify_idle(self) -> None:
        """Wait until every buffer and the serial line are empty; refuse if the sequencer runs."""
        busy, give_up = isa.BUSY_BIT[self._gradients.board], time.monotonic() + self._gradient_s
        while True:
            status = self.status()
            state = status[Register.EXEC] >> 24
            if state != isa.STATE_IDLE:
                raise DeviceFault(f"The console's sequencer is in state {state} instead of idle.", AMPLIFIERS_OFF)
            if status[Register.BUF_EMPTY] == isa.ALL_BUFFERS_EMPTY and not status[Register.STATUS] & busy:
                return
            if time.monotonic() > give_up:
                raise DeviceTimeout(
                    f"The {self._gradients.board} board stays busy (status 0x{status[Register.STATUS]:x}).",
                    "Switch the gradient amplifiers off, check the gradient board's cable, and restart the console.",
                )

    def zero(self) -> None:
        """Write zero to every output, wait for the serial line, verify that the console was and is idle."""
        self.verify_idle()
        self.zero_digital()
        self._zero_gradients()
        self.verify_idle()

    def rest(self) -> None:
        """Gradients to zero if they rest at another calibration's: what a segment leaves alone stays where it is."""
        if self._resting_codes != self.zero_codes:
            self._zero_gradients()

    def zero_digital(self) -> None:
        """Transmitters, gates, LEDs and receivers to zero."""
        for buffer in _ZEROED:
            self.direct(buffer, 0)

    def start_gradients(self) -> None:
        """Initialise the gradient board and leave it at zero."""
        board, divider = self._gradients.board, self._gradients.spi_divider
        self.direct(Buffer.GRAD_CTRL, 0)
        self._send_gradients(boards.start_controls(board, divider), boards.start_words(board))
        self._resting_codes = (0, 0, 0)
        self.rest()

    def exchange(self, divider: int, word: int) -> int:
        """One word on the gradient board's line at a given divider; the STATUS register after it has gone."""
        self.verify_idle()
        self.direct(Buffer.GRAD_CTRL, isa.gradient_control(self._gradients.board, divider, msb_strobes=False))
        self.direct(Buffer.GRAD_MSB, word >> 16)
        self.status({"direct": isa.direct_word(Buffer.GRAD_LSB, word)})
        self.verify_idle()
        answer = self.status()[Register.STATUS]
        self.direct(Buffer.GRAD_CTRL, 0)
        return answer

    def _zero_gradients(self) -> None:
        board, divider, codes = self._gradients.board, self._gradients.spi_divider, self.zero_codes
        self._resting_codes = None
        self._send_gradients(boards.zero_controls(board, divider), boards.zero_words(board, codes))
        self._resting_codes = codes

    def _send_gradients(self, controls: tuple[int, ...], words: tuple[int, ...]) -> None:
        """Words on the serial line, each when the one before is through, then the board's enable off again."""
        self.verify_idle()  # a change of divider during a transfer would corrupt it
        for control in controls:
            self.direct(Buffer.GRAD_CTRL, control)
        for word in words:
            self.direct(Buffer.GRAD_MSB, word >> 16)
            # the status that comes along is read while the word is still on its way: only its delay is wanted
            self.status({"direct": isa.direct_word(Buffer.GRAD_LSB, word)})
            self.verify_idle()
        self.direct(Buffer.GRAD_CTRL, 0)
