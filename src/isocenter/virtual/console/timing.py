# SPDX-License-Identifier: MIT
"""From instruction words to the cycle at which each buffer changes its output. Source: reference marcos.md 4 and 6."""

from dataclasses import dataclass
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.console.isa import (
    COUNTDOWN,
    HALT,
    MEMORY_WORDS,
    N_BUFFERS,
    OP_FINISH,
    OP_TRIG,
    OP_TRIG_FOREVER,
    OP_WAIT,
    RUN,
)

_DEPTH = 4  # entries that one queue holds besides the one being timed
_GUARD_WORDS = 4  # the refill stays this far behind the program counter
_LOW_WORDS = 16384
_REFILL_CHUNK = 32
_ABORT_POLL_TICKS = 800  # the server looks at the error bits every 20th round, about 0.3 us each
_NEVER = 2**62

_Events = tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint16]]

FINISHED: Final = 0
ENDLESS: Final = 1
HALTED: Final = 2

# Slots of the array in which the decoder returns its findings.
_STATUS, _END, _FULL, _OVERFLOW, _LOW, _UNDERRUN_PC, _N_EVENTS, _COPIED, _LAST_PC, _ABORT_AT = range(10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What one program does to the outputs of the 24 buffers.

    Attributes
    ----------
    ticks, values
        Cycle at which each output changes, counted from the first cycle of the run, and the 16-bit value; one int64 and one
        uint16 array for each buffer. The output register of TX is not in it yet.
    status
        ``FINISHED``; ``HALTED`` when the server stopped it; ``ENDLESS`` when it can never end by itself.
    finish_tick, last_pc
        Cycle and memory word at which it ended.
    full_mask, overflow_mask
        Bit b: buffer b was full, or overflowed and lost entries.
    n_low
        Rounds of the server's loop in which the program memory was low.
    underrun_pc
        Word at which the program counter overtook the refill, -1 if it never did.
    n_not_copied
        Words of the program that had not been copied yet when it ended.
    """

    ticks: list[NDArray[np.int64]]
    values: list[NDArray[np.uint16]]
    status: int
    finish_tick: int
    last_pc: int
    full_mask: int
    overflow_mask: int
    n_low: int
    underrun_pc: int
    n_not_copied: int

    @property
    def has_aborted(self) -> bool:
        """True when the server ended the run, not the program."""
        return self.status == HALTED or self.underrun_pc >= 0


@numba.njit(cache=True, nogil=True)
def _pop(
    buffer: int,
    now: int,
    queue: NDArray[np.int64],
    state: NDArray[np.int64],
    out: _Events,
    n_out: int,
) -> int:
    """Load every waiting entry of one buffer that leaves its queue by cycle ``now``."""
    ticks, buffers, values = out
    head, count, free_at = state[buffer, 0], state[buffer, 1], state[buffer, 2]
    while count > 0:
        load = max(queue[buffer, head, 0] + 3, free_at)
        if load + 1 > now:
            break
        delay = queue[buffer, head, 1]
        ticks[n_out] = load + 1 + delay
        buffers[n_out] = buffer
        values[n_out] = queue[buffer, head, 2]
        n_out += 1
        free_at = load + 1 + delay
        head = (head + 1) % _DEPTH
        count -= 1
    state[buffer, 0], state[buffer, 1], state[buffer, 2] = head, count, free_at
    return n_out


@numba.njit(cache=True, nogil=True)
def _push(
    buffer: int,
    cycle: int,
    word: int,
    queue: NDArray[np.int64],
    state: NDArray[np.int64],
    info: NDArray[np.int64],
) -> None:
    """Put one entry in a queue. A write into a full ring leaves only the new entry, as its pointers meet again."""
    if state[buffer, 1] == _DEPTH:
        info[_OVERFLOW] |= 1 << buffer
        info[_ABORT_AT] = min(info[_ABORT_AT], cycle + _ABORT_POLL_TICKS)
        state[buffer, 1] = 0
    slot = (state[buffer, 0] + state[buffer, 1]) % _DEPTH
    queue[buffer, slot, 0] = cycle
    queue[buffer, slot, 1] = (word >> 16) & 0x7F
    queue[buffer, slot, 2] = word & 0xFFFF
    state[buffer, 1] += 1
    if state[buffer, 1] == _DEPTH:
        info[_FULL] |= 1 << buffer


@numba.njit(cache=True, nogil=True)
def _refill(
    words: NDArray[np.uint32],
    memory: NDArray[np.uint32],
    pc: int,
    elapsed: int,
    ticks_per_word: float,
    filled: float,
    info: NDArray[np.int64],
) -> float:
    """Copy what the server manages to copy in ``elapsed`` ticks; note a low reserve and an underrun."""
    n_words = len(words)
    target = min(float(n_words), pc + MEMORY_WORDS - _GUARD_WORDS, filled + elapsed / ticks_per_word)
    if info[_UNDERRUN_PC] < 0 and target > filled:
        for index in range(int(filled), int(target)):
            memory[index % MEMORY_WORDS] = words[index]
        filled = target
        info[_COPIED] = int(filled)
    if int(filled) < n_words and info[_UNDERRUN_PC] < 0:
        if filled - pc < _LOW_WORDS:
            info[_LOW] += int(np.ceil(elapsed / (_REFILL_CHUNK * ticks_per_word) * 1e6))  # micro-rounds
        if pc >= int(filled):
            info[_UNDERRUN_PC] = pc
            info[_ABORT_AT] = 0
    return filled


@numba.njit(cache=True, nogil=True)
def _execute(
    words: NDArray[np.uint32],
    memory: NDArray[np.uint32],
    ticks_per_word: float,
    queue: NDArray[np.int64],
    state: NDArray[np.int64],
    out: _Events,
    info: NDArray[np.int64],
) -> None:
    n_out = 0
    pc = 0
    cycle = 0
    filled = float(min(len(words), MEMORY_WORDS))
    is_streamed = len(words) > MEMORY_WORDS
    last_pass = max(len(words), MEMORY_WORDS) + (MEMORY_WORDS if is_streamed else 0)
    info[_STATUS] = ENDLESS
    while pc < last_pass:  # behind it comes only what has been executed before
        word = int(memory[pc % MEMORY_WORDS])
        elapsed = 1
        if word >> 31:
            buffer = (word >> 24) & 0x1F
            if buffer < N_BUFFERS:
                n_out = _pop(buffer, cycle + 2, queue, state, out, n_out)
                _push(buffer, cycle, word, queue, state, info)
        else:
            opcode = (word >> 24) & 0x7F
            if opcode == OP_FINISH:
                info[_STATUS] = FINISHED
                break
            if opcode in (OP_WAIT, OP_TRIG):
                elapsed = (word & 0xFFFFFF) + 3
                if cycle + elapsed >= info[_ABORT_AT]:
                    cycle += elapsed
                    info[_STATUS] = HALTED
                    break
            elif opcode == OP_TRIG_FOREVER:
                break  # nothing is connected to the trigger input
        cycle += elapsed
        pc += 1
        if is_streamed:
            filled = _refill(words, memory, pc, elapsed, ticks_per_word, filled, info)
    for buffer in range(N_BUFFERS):
        n_out = _pop(buffer, _NEVER, queue, state, out, n_out)
    info[_END], info[_N_EVENTS], info[_LAST_PC] = cycle, n_out, pc


def decode(words: NDArray[np.uint32], memory: NDArray[np.uint32], refill_word_ticks: float) -> Decoded:
    """Outputs of the buffers when a program is loaded and run.

    Parameters
    ----------
    words
        The program, shape ``(n,)``; may be empty, then what is in memory runs.
    memory
        Program memory of 65 536 words; overwritten as the server would, and so kept for the next run.
    refill_word_ticks
        Time that the server takes to copy one more word of a program longer than the memory [ticks].
    """
    n_first = min(len(words), MEMORY_WORDS)
    memory[:n_first] = words[:n_first]
    capacity = MEMORY_WORDS + (len(words) if len(words) > MEMORY_WORDS else 0)
    ticks, buffers = np.empty(capacity, np.int64), np.empty(capacity, np.uint8)
    values = np.empty(capacity, np.uint16)
    queue = np.zeros((N_BUFFERS, _DEPTH, 3), np.int64)
    state = np.zeros((N_BUFFERS, 3), np.int64)
    state[:, 2] = -(2**62)
    info = np.zeros(10, np.int64)
    info[_UNDERRUN_PC], info[_COPIED], info[_ABORT_AT] = -1, n_first, _NEVER
    _execute(words, memory, refill_word_ticks, queue, state, (ticks, buffers, values), info)
    n = int(info[_N_EVENTS])
    order = np.argsort(buffers[:n], kind="stable")
    edges = np.searchsorted(buffers[:n][order], np.arange(N_BUFFERS + 1))
    ticks, values = ticks[:n][order], values[:n][order]
    return Decoded(
        ticks=[ticks[edges[b] : edges[b + 1]] for b in range(N_BUFFERS)],
        values=[values[edges[b] : edges[b + 1]] for b in range(N_BUFFERS)],
        status=int(info[_STATUS]),
        finish_tick=int(info[_END]),
        last_pc=int(info[_LAST_PC]),
        full_mask=int(info[_FULL]),
        overflow_mask=int(info[_OVERFLOW]),
        n_low=-(-int(info[_LOW]) // 1_000_000),
        underrun_pc=int(info[_UNDERRUN_PC]),
        n_not_copied=len(words) - int(info[_COPIED]),
    )


@numba.njit(cache=True, nogil=True)
def _locate(words: NDArray[np.uint32], memory: NDArray[np.uint32], tick: int) -> tuple[int, int]:
    cycle = 0
    n_words = len(words)
    pc = 0
    while pc < n_words + 2 * MEMORY_WORDS:
        word = int(words[pc]) if pc < n_words else int(memory[pc % MEMORY_WORDS])
        opcode = -1 if word >> 31 else (word >> 24) & 0x7F
        if opcode == OP_FINISH:
            return HALT, pc
        if opcode == OP_TRIG_FOREVER:
            return OP_TRIG_FOREVER + 1, pc + 1
        elapsed = (word & 0xFFFFFF) + 3 if opcode in (OP_WAIT, OP_TRIG) else 1
        if cycle + elapsed > tick:
            if elapsed == 1:
                return RUN, pc
            return (COUNTDOWN if opcode == OP_WAIT else OP_TRIG + 1), pc + 1
        cycle += elapsed
        pc += 1
    return RUN, pc


def locate(words: NDArray[np.uint32], memory: NDArray[np.uint32], tick: int) -> tuple[int, int]:
    """State of the sequencer and its program counter in a cycle of a run."""
    state, pc = _locate(words, memory, tick)
    return int(state), int(pc)
