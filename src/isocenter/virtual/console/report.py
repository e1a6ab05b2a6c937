# SPDX-License-Identifier: MIT
"""What the server says about a run, word for word. Source: reference marcos.md 4."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.virtual.console.gradients import FHDO_ERROR, OCRA1_DATA_LOST, OCRA1_ERROR
from isocenter.virtual.console.isa import N_BUFFERS
from isocenter.virtual.console.receiver import FifoReport
from isocenter.virtual.console.runs import BusTiming, Run
from isocenter.virtual.console.timing import Decoded, locate

_EMPTY: Final = (1 << N_BUFFERS) - 1
_END_POLLS: Final = 100  # rounds of the last read-out, after which the server looks at the queues


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags:
    """Bits that the hardware has latched: buffers full, buffers overflowed, errors of the gradient cores."""

    full: int
    error: int
    latch: int


def report(run: Run, reports: Sequence[FifoReport], flags: RunFlags, bus: BusTiming, memory: NDArray[np.uint32]) -> None:
    """The server's sentences about a run, in its order, added to its messages."""
    decoded, messages = run.decoded, run.messages
    errors, warnings = messages["errors"], messages["warnings"]
    if decoded.underrun_pc >= 0:
        errors.append(f"memory buffer underrun around byte address 0x{4 * decoded.underrun_pc:x}")
    elif decoded.n_not_copied > 0:
        errors.append(f"didn't copy {4 * decoded.n_not_copied} bytes before FSM halted")
    elif decoded.n_low:
        warnings.append(f"memory buffer low for {decoded.n_low} inner loop cycles")
    _report_fifos(run, reports, bus, memory)
    if flags.error:
        errors.append(f"output buffers overflowed during sequence: 0x{flags.error:08x}")
    elif flags.full:
        warnings.append(f"output buffers were full during sequence: 0x{flags.full:08x}")
    if flags.latch & OCRA1_ERROR:
        errors.append("ocra1 gradient error; possibly missing samples")
    if flags.latch & FHDO_ERROR:
        errors.append("gpa-fhdo gradient error; possibly missing samples")
    if flags.latch & OCRA1_DATA_LOST:
        warnings.append("ocra1 data was lost (overwritten before being sent)")
    late = sum(1 << b for b, ticks in enumerate(decoded.ticks) if _is_late(ticks, decoded, bus))
    if late:
        warnings.append(f"output buffers were not empty at the end of sequence: 0x{_EMPTY & ~late:08x}")


def _report_fifos(run: Run, reports: Sequence[FifoReport], bus: BusTiming, memory: NDArray[np.uint32]) -> None:
    full_ticks = [report.full_tick for report in reports if report.full_tick >= 0]
    nearly = sum(report.nearly_full_ticks for report in reports)
    if full_ticks:
        _, pc = locate(run.words, memory, min(full_ticks))
        run.messages["errors"].append(f"RX FIFO/s full during sequence around byte address 0x{4 * pc:x}")
    elif nearly > 0:
        n_rounds = max(1, round(nearly / (16 * bus.pop_ticks)))
        run.messages["warnings"].append(f"RX FIFO/s almost filled during sequence {n_rounds} times")


def _is_late(ticks: NDArray[np.int64], decoded: Decoded, bus: BusTiming) -> bool:
    return bool(len(ticks)) and int(ticks[-1]) > decoded.finish_tick + _END_POLLS * bus.access_ticks
