# SPDX-License-Identifier: MIT
"""What the gradient boards are told outside a sequence: how they start, and zero.

Source
------
reference marcos.md 11.2 and 11.3, and the captured words in tests/golden/marcos (``gradient_init_sequences``).
"""

from typing import Final

from isocenter.devices.marcos.isa import gradient_control
from isocenter.domain.scanner import GradientBoard

_FHDO_INIT_DIVIDER: Final = 30  # the ADC on the same line is slower than the DAC

_OCRA1_RESET: Final = (0x0040_0004, 0x0240_0004, 0x0440_0004, 0x0740_0004)
_OCRA1_OUTPUT_ON: Final = (0x0020_0002, 0x0220_0002, 0x0420_0002, 0x0720_0002)
_OCRA1_ZERO: Final = (0x0010_0000, 0x0210_0000, 0x0410_0000, 0x0710_0000)  # the last one sends all four

_FHDO_RESET: Final = (0x0005_000A, 0x0003_0100)  # soft reset; external reference
_FHDO_ADC: Final = (0x4085_0000, 0x400B_0600, 0x400D_0600, 0x400F_0600, 0x4011_0600)  # reset; 0 ... 5.12 V each
_FHDO_ZERO: Final = (0x0008_8000, 0x0009_8000, 0x000A_8000, 0x000B_8000)  # middle of the offset-binary range


def start_controls(board: GradientBoard, divider: int) -> tuple[int, ...]:
    """Values of GRAD_CTRL, one after the other, before the start words."""
    if board is GradientBoard.OCRA1:
        return (
            gradient_control(board, divider, msb_strobes=False, reset_n=False),
            gradient_control(board, divider, msb_strobes=False),
        )
    return (gradient_control(board, _FHDO_INIT_DIVIDER, msb_strobes=False, reset_n=False),)


def start_words(board: GradientBoard) -> tuple[int, ...]:
    """32-bit gradient words that reset the board and leave it at zero."""
    if board is GradientBoard.OCRA1:
        return _OCRA1_RESET + _OCRA1_OUTPUT_ON + _OCRA1_ZERO
    return _FHDO_RESET + _FHDO_ADC + _FHDO_ZERO


def zero_controls(board: GradientBoard, divider: int) -> tuple[int, ...]:
    """Value of GRAD_CTRL for the zero words."""
    return (gradient_control(board, divider, msb_strobes=False),)


def zero_words(board: GradientBoard, codes: tuple[int, int, int] = (0, 0, 0)) -> tuple[int, ...]:
    """32-bit gradient words that bring every channel to no current.

    Parameters
    ----------
    codes
        Signed codes of x, y, z at which no current flows; a GPA-FHDO that has been calibrated needs others than 0.
    """
    if board is GradientBoard.OCRA1:
        return _OCRA1_ZERO
    return (*(word + code for word, code in zip(_FHDO_ZERO, codes, strict=False)), _FHDO_ZERO[3])
