# SPDX-License-Identifier: MIT
"""The two serial gradient cores and the boards behind them. Source: reference marcos.md 11, G1 and gradient_timing_measured.

Everything that one core remembers sits in one int64 array, so that the same compiled loop serves a run of a hundred
thousand writes and a single direct write.
"""

from dataclasses import dataclass
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.console.isa import GRAD_CTRL, GRAD_LSB

OCRA1: Final = 0
FHDO: Final = 1

OCRA1_DATA_LOST: Final = 1
OCRA1_ERROR: Final = 2
FHDO_ERROR: Final = 4
STATUS_OCRA1_BUSY: Final = 1 << 16
STATUS_FHDO_BUSY: Final = 1 << 17

_LONG_AGO = -(2**62)
_FHDO_ZERO = 0x8000

# Slots of the memory.
_CTRL, _LSB, _MSB, _LATCH, _ADC, _ADC_NEXT = range(6)
_START = 6  # of the transfer in flight, one slot a board
_CLOCKS = 8  # of that transfer, one slot a board
_FLIGHT = 10  # events that it will cause, one slot a board
_STORED = 12  # four OCRA1 words
_PENDING = 16  # four flags: stored and not sent
_DAC = 20  # codes of the eight outputs, four a board, signed
_BEFORE = 28  # what they were before the transfer in flight
_ENABLED = 36  # four flags: the output of an OCRA1 DAC has been switched on
_NEEDS_INIT = 40
_LOST = 41  # OCRA1 sets this flag anew with each word that it stores; reading the latch does not clear it
_GAIN = 42  # of four GPA-FHDO outputs, millionths: current that flows over the one that the code asks for
_OFFSET = 46  # of the same, codes: what flows at code 0
_PERIOD = 50  # of the serial clock during the transfer in flight, one slot a board
_SIZE = 52

_Events = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@numba.njit(cache=True, nogil=True)
def _period(ctrl: int) -> int:
    return ((ctrl >> 2) & 0x3F) + 1


@numba.njit(cache=True, nogil=True)
def _signed18(word: int) -> int:
    code = (word >> 2) & 0x3FFFF
    return code - 0x40000 if code & 0x20000 else code


@numba.njit(cache=True, nogil=True)
def _emit(
    memory: NDArray[np.int64],
    output: int,
    code: int,
    tick: int,
    out: _Events,
    n: int,
) -> int:
    if code == memory[_DAC + output]:
        return n
    ticks, outputs, codes = out
    ticks[n], outputs[n], codes[n] = tick, output, code
    memory[_DAC + output] = code
    return n + 1


@numba.njit(cache=True, nogil=True)
def _spoil(board: int, memory: NDArray[np.int64], n: int) -> int:
    """Take back what the transfer in flight would have done."""
    n -= int(memory[_FLIGHT + board])
    memory[_FLIGHT + board] = 0
    for channel in range(4):
        memory[_DAC + 4 * board + channel] = memory[_BEFORE + 4 * board + channel]
    return max(n, 0)


@numba.njit(cache=True, nogil=True)
def _start(board: int, memory: NDArray[np.int64], tick: int, clocks: int) -> None:
    memory[_START + board], memory[_CLOCKS + board], memory[_FLIGHT + board] = tick, clocks, 0
    memory[_PERIOD + board] = _period(memory[_CTRL])
    for channel in range(4):
        memory[_BEFORE + 4 * board + channel] = memory[_DAC + 4 * board + channel]


@numba.njit(cache=True, nogil=True)
def _ocra1_code(memory: NDArray[np.int64], channel: int, word: int) -> int:
    if word >> 23 & 1:
        return int(memory[_DAC + channel])  # a read
    register = word >> 20 & 7
    if register == 2:  # bits 2 and 3 keep the output grounded or off
        memory[_ENABLED + channel] = not word & 0xC
    if register == 4:
        memory[_ENABLED + channel] = 0
    if memory[_NEEDS_INIT] and not memory[_ENABLED + channel]:
        return 0
    if register == 1:
        return int(_signed18(word))
    return 0 if register in (3, 4) else int(memory[_DAC + channel])


@numba.njit(cache=True, nogil=True)
def _strobe_ocra1(
    memory: NDArray[np.int64],
    word: int,
    tick: int,
    out: _Events,
    n: int,
) -> int:
    channel = word >> 25 & 3
    memory[_LOST] = OCRA1_DATA_LOST if memory[_PENDING + channel] else 0
    memory[_LATCH] |= memory[_LOST]
    memory[_STORED + channel], memory[_PENDING + channel] = word & 0xFFFFFF, 1
    spacing, before = tick - memory[_START + OCRA1], memory[_PERIOD + OCRA1]
    if 3 < spacing < 24 * before + 5:
        memory[_LATCH] |= OCRA1_ERROR  # also for a word that is only stored
    if not word >> 24 & 1:
        return n
    period = _period(memory[_CTRL])
    if spacing < 24 * before + 2:
        return n  # goes out with the next broadcast
    _start(OCRA1, memory, tick, 24)
    memory[_LOST] = 0
    first = n
    for each in range(4):
        if memory[_PENDING + each] and period > 1:
            n = _emit(memory, each, _ocra1_code(memory, each, memory[_STORED + each]), tick + 24 * period + 5, out, n)
        memory[_PENDING + each] = 0
    memory[_FLIGHT + OCRA1] = n - first
    return n


@numba.njit(cache=True, nogil=True)
def _convert(memory: NDArray[np.int64], word: int) -> None:
    """One frame of the ADC: its answer belongs to the frame before. 0xC0 + 4 ch selects a channel by hand (ADS8684)."""
    channel = memory[_ADC_NEXT]
    if channel >= 0:
        flows = memory[_DAC + 4 * FHDO + channel] * memory[_GAIN + channel] * 1e-6 + memory[_OFFSET + channel]
        volts = 2.5 + 0.2 * flows / 32768.0 * 6.25
        memory[_ADC] = int(np.rint(volts / 5.12 * 65535.0))
    else:
        memory[_ADC] = 0
    command = word >> 16 & 0xFF
    memory[_ADC_NEXT] = command >> 2 & 3 if command & 0xF0 == 0xC0 else -1


@numba.njit(cache=True, nogil=True)
def _strobe_fhdo(
    memory: NDArray[np.int64],
    word: int,
    tick: int,
    out: _Events,
    n: int,
) -> int:
    period = _period(memory[_CTRL])
    spacing = int(tick - memory[_START + FHDO])
    clocks = int(memory[_CLOCKS + FHDO])
    before = memory[_PERIOD + FHDO]
    if spacing < (clocks + 2) * before + 2:
        memory[_LATCH] |= FHDO_ERROR
    if spacing < (clocks + 1) * before + 2:
        return int(_spoil(FHDO, memory, n))
    is_adc = word >> 30 & 1
    _start(FHDO, memory, tick, 32 if is_adc else 24)
    if period < 3:
        return n  # no clock edges
    if is_adc:
        _convert(memory, word)
        return n
    register, data = word >> 16 & 0xF, word & 0xFFFF
    first = n
    done = tick + 25 * period + 2
    if 8 <= register < 12:
        n = _emit(memory, 4 * FHDO + register - 8, data - _FHDO_ZERO, done, out, n)
    elif register == 5 and data & 0xF == 0xA:
        for channel in range(4):
            n = _emit(memory, 4 * FHDO + channel, 0, done, out, n)
    memory[_FLIGHT + FHDO] = n - first
    return n


@numba.njit(cache=True, nogil=True)
def _set_ctrl(memory: NDArray[np.int64], value: int, tick: int, n: int) -> int:
    """A core that is switched off or gets another divider in the middle of a transfer spoils it."""
    if value == memory[_CTRL]:
        return n
    for board in range(2):
        period = memory[_PERIOD + board]
        busy = tick - memory[_START + board] < (memory[_CLOCKS + board] + 1) * period + 2
        has_changed = (value ^ memory[_CTRL]) & (0xFC | 1 << board)
        if busy and has_changed and memory[_CTRL] >> board & 1:
            n = _spoil(board, memory, n)
    if not value >> 8 & 1:
        for channel in range(4):
            memory[_PENDING + channel] = 0
    memory[_CTRL] = value
    return n


@numba.njit(cache=True, nogil=True)
def _write_all(
    ticks: NDArray[np.int64],
    buffers: NDArray[np.uint8],
    values: NDArray[np.uint16],
    memory: NDArray[np.int64],
    out: _Events,
) -> int:
    """Play writes sorted by tick; those in one tick act together."""
    n = 0
    index = 0
    while index < len(ticks):
        tick = ticks[index]
        has_lsb = has_msb = False
        while index < len(ticks) and ticks[index] == tick:
            value = int(values[index])
            if buffers[index] == GRAD_CTRL:
                n = _set_ctrl(memory, value, tick, n)
            elif buffers[index] == GRAD_LSB:
                memory[_LSB], has_lsb = value, True
            else:
                memory[_MSB], has_msb = value, True
            index += 1
        ctrl = memory[_CTRL]
        if has_lsb or (has_msb and ctrl >> 9 & 1):
            word = memory[_MSB] << 16 | memory[_LSB]
            if ctrl & 1 and ctrl >> 8 & 1:
                n = _strobe_ocra1(memory, word, tick, out, n)
            if ctrl & 2:
                n = _strobe_fhdo(memory, word, tick, out, n)
    return n


@dataclass(frozen=True, slots=True, kw_only=True)
class DacEvents:
    """Changes at the DACs' outputs: tick, output (0-3 OCRA1 x y z z2, 4-7 GPA-FHDO), signed code; sorted by tick."""

    ticks: NDArray[np.int64]
    outputs: NDArray[np.int64]
    codes: NDArray[np.int64]


def _fresh(*, needs_init: bool = False) -> NDArray[np.int64]:
    memory = np.zeros(_SIZE, np.int64)
    memory[_START : _START + 2] = _LONG_AGO
    memory[_ADC_NEXT], memory[_NEEDS_INIT] = -1, needs_init
    memory[_GAIN : _GAIN + 4] = 1_000_000
    return memory


class GradientCores:
    """Both cores with their DACs, from power-up on.

    Parameters
    ----------
    needs_init
        True: as on the real board an OCRA1 output stays at zero until its control register has been written. The HDL model
        of the board does without.
    """

    def __init__(self, *, needs_init: bool = False) -> None:
        self._memory = _fresh(needs_init=needs_init)

    def set_board(self, gain: tuple[float, float, float], offset: tuple[float, float, float]) -> None:
        """Channels x, y, z of a GPA-FHDO give other currents than told: gain times it, plus offset of full scale."""
        for channel in range(3):
            self._memory[_GAIN + channel] = round(gain[channel] * 1e6)
            self._memory[_OFFSET + channel] = round(offset[channel] * 32_768)

    def write(
        self, ticks: NDArray[np.int64], buffers: NDArray[np.uint8], values: NDArray[np.uint16], origin: int = 0
    ) -> DacEvents:
        """Play writes to buffers 0, 1 and 2, sorted by tick.

        Parameters
        ----------
        ticks
            When each output of a buffer changes, counted from ``origin``.
        origin
            Tick 0 on the console's own clock, on which transfers may still be in flight.
        """
        memory = self._memory
        memory[_START : _START + 2] = np.maximum(memory[_START : _START + 2] - origin, _LONG_AGO)
        memory[_FLIGHT : _FLIGHT + 2] = 0  # what an earlier call has promised is out of reach
        memory[_BEFORE : _BEFORE + 8] = memory[_DAC : _DAC + 8]
        capacity = 4 * len(ticks) + 4
        out = np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty(capacity, np.int64)
        n = _write_all(ticks, buffers, values, memory, out)
        started = memory[_START : _START + 2]
        memory[_START : _START + 2] = np.where(started > _LONG_AGO // 2, started + origin, _LONG_AGO)
        order = np.argsort(out[0][:n], kind="stable")
        return DacEvents(ticks=out[0][:n][order], outputs=out[1][:n][order], codes=out[2][:n][order])

    @property
    def codes(self) -> NDArray[np.int64]:
        """Signed codes of the eight outputs now."""
        return self._memory[_DAC : _DAC + 8].copy()

    @property
    def ctrl(self) -> int:
        """The control word in force."""
        return int(self._memory[_CTRL])

    def status(self, tick: int) -> int:
        """The STATUS register at a tick of the console's own clock."""
        memory = self._memory
        status = int(memory[_ADC])
        for board, flag in ((OCRA1, STATUS_OCRA1_BUSY), (FHDO, STATUS_FHDO_BUSY)):
            if tick - int(memory[_START + board]) < (int(memory[_CLOCKS + board]) + 1) * int(memory[_PERIOD + board]) + 2:
                status |= flag
        return status

    def take_latch(self) -> int:
        """The STATUS_LATCH register; reading clears it, but for what the core still holds."""
        latch = int(self._memory[_LATCH])
        self._memory[_LATCH] = self._memory[_LOST]
        return latch
