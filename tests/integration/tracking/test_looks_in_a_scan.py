# SPDX-License-Identifier: MIT
"""Scans without navigators, on a scanner without a thermometer: looked at in pauses, followed by the centre of k-space."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from isocenter.acquisition.prescan.looks import plan_looks
from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prepare import check, prepare
from isocenter.app.service import Health
from isocenter.app.session import ScannerSession
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import EndReason, Protocol
from isocenter.domain.scanner import nominal_calibration
from isocenter.domain.scenario import MagnetFaults
from isocenter.recon.cartesian import reconstruct
from isocenter.storage.stored import find_scans, open_scan, read_raw
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.direct import simulate
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

SCANNER = load_scanner("osii-one")
EXAM = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
VIALS = replace(find_scenario("ideal"), phantom="vials", n_spins=1_000)
BOX = {"fov_read_m": 0.24, "fov_phase_m": 0.24, "fov_slab_m": 0.16, "n_read": 64, "n_phase": 22, "n_slab": 4}
ECHO = Protocol(
    name="Long", sequence="gre_3d", parameters={**BOX, "tr_s": 4.0, "te_s": 6e-3, "flip_rad": 1.0, "dummy_shots": 1}
)
SPOKES = Protocol(
    name="Spokes", sequence="radial_2d", parameters={"n_read": 48, "n_spokes": 320, "tr_s": 0.06, "thickness_m": 0.03}
)


class Scanner:
    """A session on a virtual scanner, and what it said."""

    def __init__(self, session: ScannerSession, folder: Path) -> None:
        self.session, self.folder, self.messages = session, folder, []

    def scan(self, protocol):
        prepared = prepare(protocol, self.session.scanner, self.session.calibration, PatientPosition.HFS)
        return self.session.measure(
            prepared, EXAM, self.folder, cancel=Event(), on_message=lambda *what: self.messages.append(what)
        )


@contextlib.contextmanager
def scanner(folder: Path, **faults) -> Iterator[Scanner]:
    scenario = replace(VIALS, magnet=MagnetFaults(**faults))
    with VirtualConsoleServer(
        signal_model=BlochSignalModel(SCANNER, scenario), board=SCANNER.gradients.board, time_scale=0.0
    ) as server:
        host, port = server.address
        placed = replace(SCANNER, console=replace(SCANNER.console, host=host, port=port))
        session = ScannerSession(placed, is_virtual=True, pace="none")
        session.set_frequency(SCANNER.magnet.larmor_hz)
        try:
            yield Scanner(session, folder)
        finally:
            session.close()


def events(path, name):
    return [event for event in open_scan(path).journal() if event["event"] == name]


def picture(raw):
    return np.abs(np.asarray(reconstruct(raw)[0].data, dtype=np.float64))


def centre_px(image):
    """Centre of the phantom along slices, rows and columns, in pixels."""
    strong = np.where(image > 0.2 * image.max(), image, 0.0)
    return np.array(
        [(strong * np.expand_dims(np.arange(n), tuple({0, 1, 2} - {a}))).sum() for a, n in enumerate(image.shape)]
    ) / (strong.sum())


def test_a_gradient_echo_of_a_magnet_that_warms_by_a_degree_is_where_it_belongs(tmp_path):
    """Nothing in it could be compared, and nobody knows the temperature; 370 Hz a minute are far above the usual."""
    prepared = prepare(ECHO, SCANNER, nominal_calibration(SCANNER), PatientPosition.HFS)
    scan, drift_c_per_s = prepared.scan, 1 / prepared.scan.facts.duration_s
    without, steady = (
        simulate(scan, SCANNER, replace(VIALS, magnet=MagnetFaults(drift_c_per_s=rate)), prepared.placement)
        for rate in (drift_c_per_s, 0.0)
    )
    truth, spoilt = picture(steady), picture(without)
    with scanner(tmp_path, drift_c_per_s=drift_c_per_s) as one:
        told = check(ECHO, SCANNER, nominal_calibration(SCANNER), PatientPosition.HFS)
        plan = plan_looks(scan, one.session.drift.rate_hz_per_s)
        assert told.looks == plan
        assert told.duration_s == pytest.approx(scan.facts.duration_s + plan.extra_s)
        path, result = one.scan(ECHO)
        assert (result.reason, result.n_readouts) == (EndReason.COMPLETED, result.n_expected)
        looks = events(path, "look")
        assert plan.n + 1 <= len(looks) <= plan.n + 2, "once behind the last line, and sooner than planned"
        assert len(find_scans(path.parent / "prescan")) >= len(looks), "each kept like any scan, and counted"
        times_s = [look["at_s"] for look in looks]
        assert min(np.diff([0.0, *times_s[:-1]])) >= 60.0
        assert {health for health, _, _ in one.messages} == {Health.GOOD}
        changes_hz = [event["change_hz"] for event in events(path, "frequency measured")]
        assert sum(changes_hz) == pytest.approx(SCANNER.magnet.drift_hz_per_c, rel=0.1)
        assert not [event for event in events(path, "segment") if event.get("again")], "no line is measured twice"
        image = picture(read_raw(path))
    assert np.linalg.norm(centre_px(image) - centre_px(truth)) < 0.1
    assert np.linalg.norm(centre_px(spoilt) - centre_px(truth)) > 1.0
    assert np.linalg.norm(image - truth) < 0.1 * np.linalg.norm(truth)
    assert np.linalg.norm(spoilt - truth) > 0.5 * np.linalg.norm(truth)


def test_a_jump_in_a_radial_scan_is_seen_in_the_centre_of_k_space_and_mended(tmp_path):
    jump_c, at_s = -0.35, 9.0
    with scanner(tmp_path, jump_c=jump_c, jump_s=at_s) as one:
        path, result = one.scan(SPOKES)
        assert (result.reason, result.n_readouts) == (EndReason.COMPLETED, result.n_expected)
        (pause,) = events(path, "pause")
        assert "limit is 500 Hz" in pause["reason"]
        (measured,) = events(path, "frequency measured")
        jump_hz = jump_c * SCANNER.magnet.drift_hz_per_c
        assert measured["change_hz"] == pytest.approx(jump_hz, abs=20.0)
        raw = read_raw(path)
        time_s = raw.time_s
        assert not np.any(raw.lo_shift_hz[time_s < at_s - 4.0])
        assert raw.lo_shift_hz[time_s > at_s] == pytest.approx(measured["change_hz"], abs=1e-3), "all behind it, once more"
