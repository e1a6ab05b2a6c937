# SPDX-License-Identifier: MIT
"""Service calibrations and single scans from the command line: of the console that answers, and of no other."""

import time
from dataclasses import replace

import numpy as np
import pytest

from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import CalibrationValue, Quantity
from isocenter.domain.scanner import GradientBoard
from isocenter.storage.calibrations import CalibrationStore
from isocenter.storage.stored import open_scan
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

WORD = ("--person", "A. Service", "--no-patient", "--centre", "16,-8,24")
SCAN = ("gre_3d", "-p", "n_read=16", "-p", "n_phase=8", "-p", "n_slab=4", "--frequency", "2.0017")
GAIN, OFFSET = (0.97, 1.02, 1.04), (0.05, -0.04, 0.0)
CURRENTS = tuple(
    number for gain, offset in zip(GAIN, OFFSET, strict=True) for number in (-offset / gain, 1 / gain, 0.0, 0.0)
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOCENTER_DATA", str(tmp_path / "exams"))
    return tmp_path / "exams"


@pytest.fixture
def console():
    """A board with offsets beyond what is taken for zero, behind a console of either kind."""
    running = []

    def console(kind):
        scanner = load_scanner("osii-one")
        assert scanner.gradients.board is GradientBoard.GPA_FHDO
        model = BlochSignalModel(scanner, replace(find_scenario("ideal-block"), n_spins=500))
        server = VirtualConsoleServer(signal_model=model, time_scale=0.0, kind=kind, board=scanner.gradients.board)
        server.machine.cores.set_board(GAIN, OFFSET)
        running.append(server)
        server.start()
        return server, ("--host", server.address[0], "--port", server.address[1])

    yield console
    for server in running:
        server.stop()


def keep(folder, **changes):
    value = CalibrationValue(
        quantity=Quantity.GRADIENT_CURRENTS, value=CURRENTS, sd=(0.001,) * 12, measured_at_s=time.time() - 86_400 * 2
    )
    CalibrationStore(folder, "osii-one").accept(replace(value, **changes))


def flowing(server):
    return server.machine.cores.codes[4:7] / 32768 * np.array(GAIN) + np.array(OFFSET)


@pytest.mark.parametrize("kind", ["virtual", "simulation"])
def test_what_a_simulation_measured_is_not_kept_for_the_real_scanner(isocenter, console, folder, kind):
    _, at = console(kind)
    said = isocenter("calibrate", "gradient_currents", *WORD, *at, "--accept")
    assert said.code == 0, said
    assert "Taken into use." in said.out
    assert [path.name for path in (folder / "calibrations").glob("*.jsonl")] == ["virtual-osii-one.jsonl"]
    assert "gradient_currents  Gradient currents: never measured" in isocenter("calibrate").out


def test_what_a_real_console_measured_is_kept_for_it(isocenter, console, folder):
    _, at = console("hardware")
    said = isocenter("calibrate", "gradient_currents", *WORD, *at, "--accept")
    assert said.code == 0, said
    assert [path.name for path in (folder / "calibrations").glob("*.jsonl")] == ["osii-one.jsonl"]


def test_a_scan_plays_the_kept_calibration_of_the_board(isocenter, console, folder, tmp_path):
    keep(folder)
    server, at = console("hardware")
    said = isocenter("scan", *SCAN, *at, "--out", tmp_path / "out")
    assert said.code == 0, said
    assert "Calibrated by service: gradient currents (2.0 days old)" in said.out
    assert np.abs(flowing(server)).max() < 1e-3
    (scan,) = (tmp_path / "out").glob("001*")
    used = {one.quantity: one for one in open_scan(scan).record.request.calibration_values}
    assert used[Quantity.GRADIENT_CURRENTS].value.value == pytest.approx(CURRENTS)


def test_without_a_kept_calibration_codes_are_as_they_are(isocenter, console, tmp_path):
    server, at = console("hardware")
    said = isocenter("scan", *SCAN, *at, "--out", tmp_path / "out")
    assert "Calibrated by service" not in said.out
    assert flowing(server) == pytest.approx(OFFSET)


def test_a_kept_calibration_that_cannot_be_right_is_told_and_not_played(isocenter, console, folder, tmp_path):
    keep(folder, value=(0.0, 2.0, 0.0, 0.0) * 3)
    server, at = console("hardware")
    said = isocenter("scan", *SCAN, *at, "--out", tmp_path / "out")
    assert "asks for 2.00 times the current" in said.out
    assert "Calibrated by service" not in said.out
    assert flowing(server) == pytest.approx(OFFSET)


def test_a_simulation_plays_nothing_that_is_kept_of_the_real_scanner(isocenter, console, folder, tmp_path):
    keep(folder)
    server, at = console("virtual")
    said = isocenter("scan", *SCAN, *at, "--out", tmp_path / "out")
    assert "Calibrated by service" not in said.out
    assert flowing(server) == pytest.approx(OFFSET)


@pytest.mark.parametrize("reads", [-2.0, 2.096])
def test_a_board_without_power_is_named_and_leaves_nothing(isocenter, console, folder, reads):
    server, at = console("hardware")
    server.machine.cores.set_board((0.0,) * 3, (reads,) * 3)
    said = isocenter("calibrate", "gradient_currents", *WORD, *at, "--accept", "--json")
    assert said.code == 1
    assert "The gradient board does not answer" in said.err
    assert "Check the gradient board's power and its cable" in said.err
    assert "The old value stays in use." in said.err
    assert CalibrationStore(folder, "osii-one").latest(Quantity.GRADIENT_CURRENTS) is None
