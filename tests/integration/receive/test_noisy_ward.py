# SPDX-License-Identifier: MIT
"""The scenario of a noisy ward on the virtual scanner's own process, as a person starts it."""

from dataclasses import replace
from threading import Event

import numpy as np

from isocenter.app.exams import new_exam, phantom_patient
from isocenter.app.prepare import prepare
from isocenter.app.session import ScannerSession
from isocenter.app.virtual_scanner import VirtualSetup, virtual_scanner
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.domain.scenario import ReceiverFaults
from isocenter.storage.stored import read_raw
from isocenter.virtual.physics.direct import simulate
from isocenter.virtual.physics.scenario import find_scenario

GRE = {"n_phase": 24, "n_slab": 2, "n_read": 48, "dummy_shots": 0}


def explained(coil, sensors):
    """Share of the coil's energy that the best combination of the sensors, each with seven taps, explains."""
    taps = np.stack([np.roll(sensors, shift, axis=-1) for shift in range(-3, 4)], axis=1)
    columns = taps.reshape(len(taps), -1, taps.shape[-1]).transpose(0, 2, 1)[:, 3:-3].reshape(-1, 7 * sensors.shape[1])
    target = coil[:, 3:-3].ravel()
    rest = target - columns @ np.linalg.lstsq(columns, target, rcond=None)[0]
    return 1 - float(np.linalg.norm(rest) / np.linalg.norm(target)) ** 2


def test_a_noisy_ward_brings_its_sensor_over_the_wire(tmp_path):
    plain = load_scanner("osii-one")
    assert plain.receiver.n_sensors == 0
    with virtual_scanner(plain, VirtualSetup(scenario="noisy-ward", n_spins=2000)) as scanner:
        assert scanner.receiver.n_sensors == 1
        session = ScannerSession(scanner, is_virtual=True, pace="none")
        try:
            session.set_frequency(scanner.magnet.larmor_hz + 1700.0)
            protocol = Protocol(name="GRE", sequence="gre_3d", parameters=GRE)
            prepared = prepare(protocol, scanner, session.calibration, PatientPosition.HFS)
            exam = new_exam(phantom_patient(), PatientPosition.HFS, "HEAD")
            pictures = []
            outcome = session.scan(
                prepared, exam, tmp_path, cancel=Event(), on_volumes=lambda volumes, _: pictures.append(volumes)
            )
        finally:
            session.close()
    raw = read_raw(outcome.folder)
    assert raw.samples.shape[1] == 2
    assert raw.sensor_channels == (1,)
    assert outcome.images is not None
    assert pictures
    # Edges of k-space hold next to no signal: what the coil hears there is interference, and the sensor hears it too.
    edges = np.abs(raw.label("LIN") - 12) > 8
    coil, sensor = raw.samples[edges, 0], raw.samples[edges, 1:]
    assert explained(coil, sensor) > 0.5
    # The library hears more sensors than a console has inputs, which tell more.
    scenario = replace(find_scenario("noisy-ward"), n_spins=2000)
    library = simulate(prepared.scan, plain, scenario, prepared.placement)
    assert library.sensor_channels == (1, 2, 3)
    assert explained(library.samples[edges, 0], library.samples[edges, 1:]) > explained(coil, sensor)


def test_a_receiver_with_too_much_gain_is_named(open_road):
    strong = replace(find_scenario("ideal-block"), n_spins=2000, receiver=ReceiverFaults(gain_db=45.0, adc_bits=16))
    messages = []
    with open_road(strong) as road:
        prepared = road.prepare("gre_3d", GRE)
        road.measure(prepared, on_message=lambda *message: messages.append(message))
    assert any("clipped" in problem for _, problem, _ in messages)
