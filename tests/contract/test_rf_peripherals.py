# SPDX-License-Identifier: MIT
"""What every device around the coil does on a real line, and never does: say ready without an answer, wait for ever."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from isocenter.devices.attenuator import I3mAttenuator
from isocenter.devices.catalogue import make_peripheral
from isocenter.devices.nanovna import NanoVna
from isocenter.devices.nanovna_v2 import NanoVnaV2
from isocenter.devices.sar_monitor import OvguSarMonitor
from isocenter.devices.tuner import RelayTuner
from isocenter.domain.device import Condition, DeviceLink, DeviceRole
from isocenter.domain.errors import ConnectError, DeviceError, DeviceTimeout
from isocenter.virtual.peripherals.attenuator import VirtualAttenuator
from isocenter.virtual.peripherals.coil_circuit import CoilCircuit
from isocenter.virtual.peripherals.lines import VirtualLine
from isocenter.virtual.peripherals.nanovna import VirtualNanoVna
from isocenter.virtual.peripherals.nanovna_v2 import VirtualNanoVnaV2
from isocenter.virtual.peripherals.plant import Plant
from isocenter.virtual.peripherals.sar_monitor import VirtualSarMonitor
from isocenter.virtual.peripherals.tuner import VirtualTuner

COIL = CoilCircuit()


def _watch(device: OvguSarMonitor) -> None:
    device.standby()
    device.set_limits(mean_10s_w=20, mean_6min_w=10, peak_w=1000)
    device.enable()


def _sweep(device: Any) -> None:
    reflection = device.sweep(1.9e6, 2.1e6, 31)
    truth = COIL.reflection(reflection.frequency_hz, Plant().state)
    np.testing.assert_allclose(reflection.s11, truth, atol=5e-3)


@dataclass(frozen=True)
class Case:
    """One driver and its far end; ``use`` does its work and leaves it ready."""

    driver: Callable[[DeviceLink], Any]
    far: Callable[[Plant], Any]
    role: DeviceRole
    options: dict[str, float]
    use: Callable[[Any], None]
    deadline_s: float = 0.6


CASES = {
    "sar monitor": Case(OvguSarMonitor, VirtualSarMonitor, DeviceRole.SAR_MONITOR, {"w_per_adc2": 1e-4}, _watch, 2.1),
    "nanovna": Case(
        lambda link: NanoVna(link, sweep_timeout_s=0.8),
        lambda plant: VirtualNanoVna(plant, COIL),
        DeviceRole.NETWORK_ANALYSER,
        {},
        _sweep,
        1.8,
    ),
    "nanovna v2": Case(
        lambda link: NanoVnaV2(link, sweep_timeout_s=0.8),
        lambda plant: VirtualNanoVnaV2(plant, COIL),
        DeviceRole.NETWORK_ANALYSER,
        {},
        _sweep,
        1.8,
    ),
    "tuner": Case(
        RelayTuner, VirtualTuner, DeviceRole.TUNER, {"boot_s": 0.0}, lambda device: device.set_capacitors(1, 2, 3)
    ),
    "attenuator": Case(
        I3mAttenuator,
        VirtualAttenuator,
        DeviceRole.ATTENUATOR,
        {"boot_s": 0.0, "min_gain_db": 50, "max_gain_db": 76},
        lambda device: device.set_gain(60),
    ),
}


@dataclass
class Bench:
    """A device at work on its line."""

    case: Case
    device: Any
    line: VirtualLine
    plant: Plant


@pytest.fixture(params=["pty", "tcp"])
def via(request: pytest.FixtureRequest) -> str:
    return str(request.param)


ON_PTY = pytest.mark.parametrize("via", ["pty"])  # what does not depend on the kind of line is tried on one


@pytest.fixture(params=list(CASES))
def bench(request: pytest.FixtureRequest, via: str) -> Iterator[Bench]:
    case, plant = CASES[request.param], Plant()
    with VirtualLine(case.far(plant), via) as line:  # type: ignore[arg-type]
        device = case.driver(DeviceLink(role=case.role, driver=request.param, url=line.url, options=case.options))
        yield Bench(case, device, line, plant)
        device.close()


def test_it_opens_works_and_says_so(bench: Bench) -> None:
    assert bench.device.role is bench.case.role
    assert bench.device.open()
    bench.case.use(bench.device)
    reading = bench.device.poll()
    assert reading.condition is Condition.READY
    assert reading.text
    assert reading.faults == ()


def test_it_comes_back_after_close_and_after_a_cable_was_pulled(bench: Bench) -> None:
    bench.device.open()
    bench.device.close()
    bench.device.close()
    with pytest.raises(ConnectError, match=r"not open.*\n.*Connect"):
        bench.device.poll()
    bench.device.open()
    bench.line.cut()
    with pytest.raises((ConnectError, DeviceTimeout)):
        _work(bench)
    bench.line.restore()
    bench.device.open()
    bench.case.use(bench.device)
    assert bench.device.poll().condition is Condition.READY


@ON_PTY
def test_a_port_that_is_not_there_is_told(bench: Bench) -> None:
    bench.line.cut()
    with pytest.raises(ConnectError, match=r"cannot be reached.*\n.*power and its cable"):
        bench.device.open()


@ON_PTY
@pytest.mark.parametrize("fault", [{"mute": True}, {"deaf": True, "mute": True}, {"halved": True}])
def test_without_a_whole_answer_nothing_is_ready(bench: Bench, fault: dict[str, bool]) -> None:
    bench.device.open()
    bench.case.use(bench.device)
    bench.line.fail(**fault)
    begin_s = time.monotonic()
    with pytest.raises(DeviceError):
        bench.device.poll()
    assert time.monotonic() - begin_s < 0.6
    begin_s = time.monotonic()
    with pytest.raises(DeviceError):
        _work(bench)
    assert time.monotonic() - begin_s < bench.case.deadline_s
    bench.line.heal()
    bench.device.open()
    bench.case.use(bench.device)
    assert bench.device.poll().condition is Condition.READY


def test_a_slow_line_in_single_bytes_is_understood(bench: Bench) -> None:
    bench.device.open()
    bench.line.fail(slow_s=1e-4)
    bench.case.use(bench.device)
    assert bench.device.poll().condition is Condition.READY


@ON_PTY
@pytest.mark.parametrize("one_in", [3, 40])
def test_garbled_answers_are_refused_or_right_in_the_end(bench: Bench, one_in: int) -> None:
    """Whatever passes has been checked; nothing else than an error of a device comes out."""
    bench.device.open()
    bench.line.fail(garbled=one_in)
    for _ in range(2):
        try:
            bench.case.use(bench.device)
        except DeviceError as error:
            assert error.remedy  # noqa: PT017 - either outcome is right, but no other
        if one_in > 3:
            continue
        try:
            condition = bench.device.poll().condition
        except DeviceError:
            continue
        assert condition is not Condition.READY or bench.case.role is not DeviceRole.SAR_MONITOR


def _work(bench: Bench) -> None:
    """Whatever the device is asked to do."""
    if bench.case.role is DeviceRole.SAR_MONITOR:
        bench.device.trip()
    else:
        bench.case.use(bench.device)


@pytest.mark.parametrize(
    ("role", "driver", "kind"),
    [
        (DeviceRole.SAR_MONITOR, "ovgu-sar", OvguSarMonitor),
        (DeviceRole.NETWORK_ANALYSER, "nanovna", NanoVna),
        (DeviceRole.NETWORK_ANALYSER, "nanovna-v2", NanoVnaV2),
        (DeviceRole.TUNER, "rfautomate", RelayTuner),
        (DeviceRole.ATTENUATOR, "i3m-attenuator", I3mAttenuator),
    ],
)
def test_the_hardware_file_names_it(role: DeviceRole, driver: str, kind: type) -> None:
    options = {"ovgu-sar": {"w_per_adc2": 1e-4}, "i3m-attenuator": {"min_gain_db": 35, "max_gain_db": 50}}
    device = make_peripheral(DeviceLink(role=role, driver=driver, url="nowhere", options=options.get(driver, {})))
    assert type(device) is kind
