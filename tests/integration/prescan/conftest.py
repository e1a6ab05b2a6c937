# SPDX-License-Identifier: MIT
"""A prescan on a virtual scanner over the wire, with whatever is wrong with it."""

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prepare import prepare
from isocenter.app.session import ScannerSession
from isocenter.app.warm_up import warm_up
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import Quantity
from isocenter.domain.geometry import PatientPosition
from isocenter.storage.stored import read_raw
from isocenter.virtual.console.server import VirtualConsoleServer
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.scenario import find_scenario

START_S = 1.7e9


@dataclass
class WireBench:
    """``Bench`` on a session; its clock is the sum of what was played."""

    session: ScannerSession
    folder: Path
    subject: str = "exam-1"
    temperature_c: float = 25.0
    tuner: object = None
    analyser: object = None
    attenuator: object = None
    cancel: threading.Event = field(default_factory=threading.Event)
    values: dict = field(default_factory=dict)
    played_s: float = 0.0
    change: object = None  # what a broken receiver makes of the samples

    @property
    def scanner(self):
        return self.session.scanner

    @property
    def calibration(self):
        return self.session.calibration

    def held(self, quantity):
        value = self.values.get(Quantity(quantity))
        if value is None:
            return None
        why = value.why_not(
            now_s=self.now_s(), temperature_c=self.temperature_c, coil=self.scanner.receiver.coil_name, subject=self.subject
        )
        return None if why else value

    def measure(self, protocol, calibration=None):
        prepared = prepare(protocol, self.scanner, calibration or self.calibration, PatientPosition.HFS)
        exam = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
        path, _ = self.session.measure(prepared, exam, self.folder, cancel=self.cancel)
        self.played_s += prepared.scan.facts.duration_s
        raw = read_raw(path, "noise" if prepared.info.recon == "noise" else "imaging")
        return (raw if self.change is None else replace(raw, samples=self.change(raw.samples))), path

    def now_s(self):
        return START_S + self.played_s

    def take(self, result):
        for value in result.values:
            self.values[value.quantity] = value
            new = {
                Quantity.LARMOR: lambda v: {"larmor_hz": v[0]},
                Quantity.RF_SCALE: lambda v: {"rf_scale": v[0]},
                Quantity.SHIM: lambda v: {"shim_t_per_m": v},
            }.get(value.quantity, lambda _: {})(value.value)
            self.session.calibration = replace(self.session.calibration, **new)

    def run(self, *steps):
        """Steps in order as the app runs them; ends with the first that fails."""
        results = {}
        for step in steps:
            if step.why_skip(self):
                continue
            seen = []
            result = step.run(self, seen.append)
            assert all(one.step == step.name for one in seen)
            results[step.name] = result
            self.take(result)
            if result.verdict is Verdict.FAIL:
                break
        return results


@pytest.fixture
def bench_of(tmp_path):
    """Function: a bench on a virtual scanner with a scenario, or changes of one, in it."""
    open_now = []

    def bench_of(name="osii-one-brain", hardware="osii-one", n_spins=1500, calibration=None, **changes):
        scanner = load_scanner(hardware)
        scenario = replace(find_scenario(name), n_spins=n_spins, **changes)
        warm_up(scanner, scenario)
        server = VirtualConsoleServer(
            "127.0.0.1",
            0,
            signal_model=BlochSignalModel(scanner, scenario),
            time_scale=0.0,
            board=scanner.gradients.board,
            segment_gap_s=scanner.console.segment_gap_s,
        )
        server.__enter__()
        host, port = server.address
        placed = replace(scanner, console=replace(scanner.console, host=host, port=port))
        session = ScannerSession(placed, is_virtual=True, pace="none")
        session.connect()
        if calibration:
            session.calibration = replace(session.calibration, **calibration)
        open_now.append(SimpleNamespace(server=server, session=session))
        return WireBench(session, tmp_path)

    yield bench_of
    for item in open_now:
        item.session.close()
        item.server.__exit__(None, None, None)
