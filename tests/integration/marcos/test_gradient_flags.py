# SPDX-License-Identifier: MIT
"""Scans as the program encodes them never set a flag of a gradient core: a word lost, overwritten or too early."""

from dataclasses import replace
from threading import Event

import numpy as np
import pytest

from isocenter.app.prepare import prepare
from isocenter.config.hardware import load_scanner
from isocenter.devices.marcos import MarcosConsole
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Prescription, Protocol
from isocenter.domain.scanner import GradientBoard, nominal_calibration
from isocenter.virtual.console.gradients import FHDO_ERROR, OCRA1_DATA_LOST, OCRA1_ERROR
from isocenter.virtual.console.server import VirtualConsoleServer

TILTED = Prescription(tilt_rad=(0.3, 0.2))
N_SEGMENTS = 3


@pytest.mark.parametrize(("board", "divider"), [(GradientBoard.OCRA1, 19), (GradientBoard.GPA_FHDO, 4)])
@pytest.mark.parametrize("sequence", ["localizer", "gre_3d"])
def test_no_flag_of_the_gradient_core_is_ever_set(board, divider, sequence):
    scanner = load_scanner("osii-one")
    scanner = replace(scanner, gradients=replace(scanner.gradients, board=board, spi_divider=divider))
    protocol = Protocol(name=sequence, sequence=sequence, prescription=TILTED)
    scan = prepare(protocol, scanner, nominal_calibration(scanner), PatientPosition.HFS).scan
    with VirtualConsoleServer(board=board, time_scale=0.0) as server:
        flags, cores = [], server.machine.cores
        taken = cores.take_latch

        def take_latch():
            flags.append(taken())
            return flags[-1]

        cores.take_latch = take_latch
        host, port = server.address
        console = MarcosConsole(replace(scanner.console, host=host, port=port), scanner.gradients)
        console.open()
        try:
            for segment in scan.segments[:N_SEGMENTS]:
                moved = [
                    track for name, track in segment.tracks.items() if name.startswith("grad_") and np.any(track.values)
                ]
                assert len(moved) == 3  # all channels have words at once
                run = console.play(console.prepare(segment, scan.lo_hz), Event())
                assert run.messages == ()
        finally:
            console.close()
    assert len(flags) >= min(N_SEGMENTS, len(scan.segments))
    assert not any(flag & (OCRA1_DATA_LOST | OCRA1_ERROR | FHDO_ERROR) for flag in flags)
