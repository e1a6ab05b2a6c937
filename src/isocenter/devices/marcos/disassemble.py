# SPDX-License-Identifier: MIT
"""Instruction words as text, for people."""

import numpy as np
from numpy.typing import NDArray

from isocenter.devices.marcos.isa import MIN_WAIT_CYCLES, Buffer

_OPCODES = {0: "NOP", 1: "FINISH", 2: "WAIT", 3: "TRIG", 4: "TRIG_FOREVER"}


def disassemble(words: NDArray[np.uint32]) -> list[str]:
    """One line of text for each word."""
    return [_line(int(word)) for word in words]


def _line(word: int) -> str:
    if word >> 31:
        buffer = word >> 24 & 0x1F  # the hardware decodes five bits
        name = Buffer(buffer).name if buffer < len(Buffer) else "unused"
        return f"DATA  buf={buffer} ({name}) delay={word >> 16 & 0xFF} data=0x{word & 0xFFFF:04x}"
    opcode, operand = word >> 24 & 0x7F, word & 0xFF_FFFF
    name = _OPCODES.get(opcode, f"NOP (opcode {opcode})")
    if name in {"WAIT", "TRIG"}:
        return f"{name}  n={operand} (takes {operand + MIN_WAIT_CYCLES} cycles)"
    return name
