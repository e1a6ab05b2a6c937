# SPDX-License-Identifier: MIT
"""The tuning step with tuner and network analyser on their own lines."""

import threading
from types import SimpleNamespace

import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.step_transmit import TuneStep
from isocenter.config.hardware import load_scanner
from isocenter.devices.catalogue import make_peripheral
from isocenter.domain.calibration import Quantity
from isocenter.domain.device import DeviceLink, DeviceRole
from isocenter.domain.errors import ScanAborted
from isocenter.domain.scanner import nominal_calibration
from isocenter.virtual.peripherals.coil_circuit import CoilCircuit
from isocenter.virtual.peripherals.lines import VirtualLine
from isocenter.virtual.peripherals.nanovna import VirtualNanoVna
from isocenter.virtual.peripherals.plant import Plant
from isocenter.virtual.peripherals.tuner import VirtualTuner

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def bench():
    scanner = load_scanner("osii-one")
    plant, coil = Plant(), CoilCircuit.for_frequency(scanner.magnet.larmor_hz)
    with (
        VirtualLine(VirtualTuner(plant), "tcp") as tuner_line,
        VirtualLine(VirtualNanoVna(plant, coil), "tcp") as analyser_line,
    ):
        tuner = make_peripheral(
            DeviceLink(role=DeviceRole.TUNER, driver="rfautomate", url=tuner_line.url, options={"boot_s": 0.0})
        )
        analyser = make_peripheral(DeviceLink(role=DeviceRole.NETWORK_ANALYSER, driver="nanovna", url=analyser_line.url))
        tuner.open()
        values = {}
        yield SimpleNamespace(
            scanner=scanner,
            calibration=nominal_calibration(scanner),
            cancel=threading.Event(),
            subject="exam-1",
            temperature_c=25.0,
            tuner=tuner,
            analyser=analyser,
            held=lambda quantity: values.get(Quantity(quantity)),
            now_s=lambda: 1.7e9,
            values=values,
            plant=plant,
        )
        tuner.close()
        analyser.close()


def test_a_detuned_coil_is_tuned_and_the_next_time_one_look_is_enough(bench):
    seen = []
    first = TuneStep().run(bench, seen.append)
    assert first.verdict is Verdict.PASS, first.text
    assert float(first.text.split("S11 ")[1].split(" dB")[0].replace("−", "-")) <= -20.0
    assert first.values[0].quantity is Quantity.TUNING
    assert first.values[0].coil == bench.scanner.receiver.coil_name
    assert len(seen) > 1
    assert seen[-1].plots[0].marks == {"scanner": pytest.approx(2.0)}
    bench.values[Quantity.TUNING] = first.values[0]
    again = TuneStep().run(bench, lambda _: None)
    assert again.verdict is Verdict.PASS
    assert again.text.endswith("after 1 setting")
    assert again.values[0].value == first.values[0].value


def test_stop_ends_tuning_and_gives_the_coil_back(bench):
    bench.cancel.set()
    with pytest.raises(ScanAborted, match="stopped"):
        TuneStep().run(bench, lambda _: None)
    assert not bench.plant.state.analyser_connected
