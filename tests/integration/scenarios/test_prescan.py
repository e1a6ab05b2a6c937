# SPDX-License-Identifier: MIT
"""The prescan on bad days: it finds the frequency, or says in the right words why it cannot."""

from threading import Event

import pytest

from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prescan import find_frequency
from isocenter.app.session import ScannerSession
from isocenter.app.virtual_scanner import VirtualSetup, virtual_scanner
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import AcquisitionError
from isocenter.domain.geometry import PatientPosition
from isocenter.virtual.physics.scenario import find_scenario

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops


@pytest.fixture
def prescan(tmp_path):
    def prescan(name):
        """Frequency found in a scenario, relative to the hardware file's."""
        scanner = load_scanner(find_scenario(name).scanner)
        with virtual_scanner(scanner, VirtualSetup(scenario=name, n_spins=2000)) as placed:
            session = ScannerSession(placed, is_virtual=True, pace="none")
            try:
                session.connect()
                exam = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
                return find_frequency(session, exam, tmp_path, cancel=Event()).larmor_hz - scanner.magnet.larmor_hz
            finally:
                session.close()

    return prescan


def test_a_cold_magnet_is_found_fifteen_kilohertz_away_while_it_drifts(prescan):
    assert prescan("cold-magnet") == pytest.approx(15_400.0, abs=100.0)


def test_a_raw_magnet_is_found(prescan):
    assert abs(prescan("osii-mini-raw-magnet")) < 3_000.0


def test_a_broken_cable_is_told_from_a_wrong_frequency(prescan):
    with pytest.raises(AcquisitionError, match=r"(?s)between 1\.9500 and 2\.0500 MHz.*No signal.*coil is plugged in"):
        prescan("broken-cable")


def test_clipping_is_named(prescan):
    with pytest.raises(
        AcquisitionError, match=r"(?s)too strong for the receiver and was clipped.*Lower the receiver's gain"
    ):
        prescan("clipping")
