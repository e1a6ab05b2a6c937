# SPDX-License-Identifier: MIT
"""What is said before a scan whose labels and gradients disagree: afterwards it is too late."""

import pytest

from isocenter.compiler.interpret import compile_scan
from isocenter.domain.geometry import Placement
from isocenter.domain.scanner import nominal_calibration
from isocenter.domain.units import GAMMA_HZ_PER_T

G = 0.01 * GAMMA_HZ_PER_T
N_READ, N_LIN = 16, 12


def notes(draft, scanner, matrix, step=lambda line: 5.0 * line):
    read, dwell_s = draft.trapezoid(G, flat_s=1e-3), 20e-6
    adc = draft.readout(n=N_READ, dwell_s=dwell_s, delay_s=600e-6 - N_READ * dwell_s / 2)
    for line in range(N_LIN):
        encode = draft.trapezoid(step(line - N_LIN / 2) / 550e-6, flat_s=450e-6)
        draft.block(1e-3, rf=draft.pulse(amplitude_hz=1250.0))
        draft.block(1e-3, gx=draft.trapezoid(-G, flat_s=450e-6), gy=encode, label_set=(("LIN", line),))
        draft.block(2e-3, gx=read, adc=adc)
        draft.block(0.05)
    file = draft.file(**({"Matrix": matrix} if matrix else {}))
    return compile_scan(file, scanner, nominal_calibration(scanner), Placement()).warnings


def test_lines_beyond_the_matrix_are_named_before_the_scan(draft, scanner_of, board):
    found = notes(draft, scanner_of(board), f"{N_READ} {N_LIN - 4}")
    assert any(f"LIN = {N_LIN - 1}" in note and f"Matrix says {N_LIN - 4}" in note for note in found)


@pytest.mark.parametrize("matrix", ["", f"{N_READ} {N_LIN}", f"{N_READ} {N_LIN + 8}", "sixteen", "16"])
def test_nothing_is_said_where_labels_and_matrix_agree(draft, scanner_of, board, matrix):
    assert not [note for note in notes(draft, scanner_of(board), matrix) if "LIN" in note]


def test_labels_without_a_grid_are_named_before_the_scan(draft, scanner_of, board):
    def uneven(line):
        return 5.0 * line + 4.0 * (line % 3)

    found = notes(draft, scanner_of(board), f"{N_READ} {N_LIN}", uneven)
    assert any("do not follow the labels" in note for note in found)
    assert not [note for note in notes(draft, scanner_of(board), "", uneven) if "LIN" in note]
