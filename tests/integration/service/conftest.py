# SPDX-License-Identifier: MIT
"""A bench that plays scans on the virtual scanner: built, compiled, through the gate, and simulated; without a wire."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

import pytest

from isocenter.acquisition.prescan.contract import StepResult
from isocenter.acquisition.prescan.service import ServicePhantom
from isocenter.app.prepare import prepare
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import ScanAborted
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scanner import Calibration, Scanner, nominal_calibration
from isocenter.domain.scenario import Motion, MotionStep, ReceiverFaults, Scenario
from isocenter.virtual.physics.direct import simulate

QUIET = Scenario(
    phantom="sphere", n_spins=3000, has_t2_prime=False, has_chemical_shift=False, receiver=ReceiverFaults(noise=1.0)
)
OFF_CENTRE = ServicePhantom(centre_device_m=(0.016, -0.008, 0.024))


@dataclass
class ServiceBench:
    """One scanner as its hardware file has it, and the one that is really there."""

    scenario: Scenario
    scanner: Scanner
    truth: Scanner
    calibration: Calibration
    cancel: Event = field(default_factory=Event)
    temperature_c: float = 25.0
    subject: str = "service"
    tuner: None = None
    analyser: None = None
    attenuator: None = None
    calibrate_currents: None = None
    duration_s: float = 0.0
    told: list[StepResult] = field(default_factory=list)
    calibrations: list[Calibration] = field(default_factory=list)

    def held(self, quantity):
        return None

    def now_s(self):
        return 1.7e9 + self.duration_s

    def measure(self, protocol, calibration=None):
        if self.cancel.is_set():
            raise ScanAborted("Stopped.", "Start again.")
        used = calibration or self.calibration
        prepared = prepare(protocol, self.scanner, used, PatientPosition.HFS)
        self.calibrations.append(used)
        self.duration_s += prepared.scan.facts.duration_s
        raw = simulate(prepared.scan, self.truth, self.scenario, prepared.placement, n_threads=1)
        return raw, Path(f"service/{len(self.calibrations)}")

    def run(self, step) -> StepResult:
        return step.run(self, self.told.append)


@pytest.fixture
def service_bench() -> Callable[..., ServiceBench]:
    """Makes benches; ``truth`` is the scanner that is really there, everything else replaces parts of the scenario."""

    def make(scanner_name="osii-one", *, truth=None, calibration=None, **faults):
        scanner = load_scanner(scanner_name)
        return ServiceBench(
            scenario=replace(QUIET, **faults),
            scanner=scanner,
            truth=truth or scanner,
            calibration=calibration or nominal_calibration(scanner),
        )

    return make


@pytest.fixture(scope="session")
def off_centre():
    """A ball at a place that tells directions, and the motion that puts the virtual one there (head first, supine)."""
    x, y, z = OFF_CENTRE.centre_device_m
    return OFF_CENTRE, Motion(steps=(MotionStep(start_s=0.0, shift_lps_m=(x, -y, -z)),))
