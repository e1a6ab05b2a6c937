# SPDX-License-Identifier: MIT
"""Words, buffers and timing of the marga sequencer inside a MaRCoS console: numbers only, no decisions.

Source
------
reference marcos.md 5 to 7 and 11 (captured from the original server with simulated hardware, and read in its HDL).
"""

from enum import IntEnum
from typing import Final

from isocenter.domain.scanner import GradientBoard

CLOCK_HZ: Final = 122.88e6
"""The one clock of the console [Hz]."""

PROGRAM_MEMORY_WORDS: Final = 65_536
MAX_PROGRAM_WORDS: Final = 8_388_000
"""Words that fit into one request of 32 MiB, headers included."""
RX_FIFO_SAMPLES: Final = 16_384

MAX_DELAY: Final = 127
"""Seven delay bits are decoded, although the reference client allows eight."""
MAX_WAIT_CYCLES: Final = 0xFF_FFFF + 3
MIN_WAIT_CYCLES: Final = 3
MAX_OCCUPANCY: Final = 3
"""Entries waiting in one buffer: four set a warning bit, five lose data."""

WORD_NOP: Final = 0x0000_0000
WORD_FINISH: Final = 0x0100_0000
OPCODE_WAIT: Final = 0x0200_0000
DATA_BIT: Final = 0x8000_0000

PIN_CYCLE_OFFSET: Final = 20
"""A value with tick t is at its pin in cycle ``t + PIN_CYCLE_OFFSET``, whatever the channel; cycle 0 executes word 0.

A constant of this encoder, the same as the reference compiler's for undelayed outputs; gradients included here.
"""
LEAD_IN_TICKS: Final = 2_000
"""Ticks at the start of a segment that the compiler leaves free of events, longer than the slowest serial line."""
TAIL_TICKS: Final = 6_144
"""From the last event to FINISH (50 us): the decimator and the serial lines drain."""

LO_RESET_TICK: Final = 50
"""The oscillators start with phase 0 one tick later, so that every run has the same phase."""

RX_RESET_SETTLE_TICKS: Final = 20
"""The decimator takes no rate earlier after its reset is released."""


class Buffer(IntEnum):
    """The sequencer's output queues."""

    GRAD_CTRL = 0
    GRAD_LSB = 1
    GRAD_MSB = 2
    RX0_RATE = 3
    RX1_RATE = 4
    TX0_I = 5
    TX0_Q = 6
    TX1_I = 7
    TX1_Q = 8
    LO0_LSB = 9
    LO0_MSB = 10
    LO1_LSB = 11
    LO1_MSB = 12
    LO2_LSB = 13
    LO2_MSB = 14
    GATES_LEDS = 15
    RX_CTRL = 16


N_BUFFERS: Final = len(Buffer)

LO_HOLD_BIT: Final = 0x8000
GATE_TX_BIT: Final = 0x0001
GATE_RX_BIT: Final = 0x0002
TRIGGER_BIT: Final = 0x0004
LEDS_SHIFT: Final = 8
RX0_RATE_VALID_BIT: Final = 0x0010
RX0_RESET_N_BIT: Final = 0x0040
RX0_ENABLE_BIT: Final = 0x0100
RX1_SHIFT: Final = 1
"""Bits of the second receiver in RX_CTRL lie that much higher."""
CIC_SHIFT_ADDRESS: Final = 0x1000


class Register(IntEnum):
    """Registers that the driver reads, by word index."""

    EXEC = 4
    STATUS = 5
    STATUS_LATCH = 6
    BUF_ERR = 7
    BUF_FULL = 8
    BUF_EMPTY = 9
    RX_LOCS = 10


STATE_IDLE: Final = 0
ALL_BUFFERS_EMPTY: Final = 0xFF_FFFF
BUSY_BIT: Final = {GradientBoard.OCRA1: 0x1_0000, GradientBoard.GPA_FHDO: 0x2_0000}

_ENABLE_BIT: Final = {GradientBoard.OCRA1: 0x001, GradientBoard.GPA_FHDO: 0x002}
_RESET_N_BIT: Final = 0x100
_MSB_STROBES_BIT: Final = 0x200
_MIN_DIVIDER: Final = {GradientBoard.OCRA1: 1, GradientBoard.GPA_FHDO: 2}
_MAX_DIVIDER: Final = 63


def data_word(buffer: int, value: int, delay: int = 0) -> int:
    """Word that queues ``value`` on a buffer."""
    return DATA_BIT | buffer << 24 | delay << 16 | (value & 0xFFFF)


def direct_word(buffer: int, value: int) -> int:
    """Argument of the ``direct`` command: an immediate write to one buffer."""
    return buffer << 24 | (value & 0xFFFF)


def gradient_control(board: GradientBoard, divider: int, *, msb_strobes: bool, reset_n: bool = True) -> int:
    """Value of GRAD_CTRL that enables a board."""
    return _ENABLE_BIT[board] | divider << 2 | (_RESET_N_BIT if reset_n else 0) | (_MSB_STROBES_BIT if msb_strobes else 0)


def check_divider(board: GradientBoard, divider: int) -> None:
    """ValueError for a divider with which the board's serial line does not run."""
    if not _MIN_DIVIDER[board] <= divider <= _MAX_DIVIDER:
        raise ValueError(f"SPI divider {divider} of {board}: must be {_MIN_DIVIDER[board]} ... {_MAX_DIVIDER}")


def gradient_latency_ticks(board: GradientBoard, divider: int) -> int:
    """Ticks from a gradient word's output until the DAC's output changes."""
    return 24 * (divider + 1) + 5 if board is GradientBoard.OCRA1 else 25 * (divider + 1) + 2


def gradient_spacing_ticks(board: GradientBoard, divider: int) -> int:
    """Least ticks between two transfers; on a GPA-FHDO of any channels, since they share one line."""
    return 24 * (divider + 1) + 5 if board is GradientBoard.OCRA1 else 26 * (divider + 1) + 2


def gradient_code_range(board: GradientBoard) -> tuple[int, int]:
    """Smallest and largest signed DAC code."""
    return (-131_072, 131_071) if board is GradientBoard.OCRA1 else (-32_768, 32_767)


def lo_step(lo_hz: float) -> int:
    """Phase step of an oscillator, 31 bits; the frequency that is played is ``lo_step * CLOCK_HZ / 2**31``."""
    return round(lo_hz / CLOCK_HZ * 2**31) & 0x7FFF_FFFF
