# SPDX-License-Identifier: MIT
"""A sensor of interference on the console's second input: from the hardware file to the ISMRMRD file."""

from dataclasses import replace
from threading import Event

import h5py
import ismrmrd
import ismrmrd.xsd
import numpy as np
import pytest

from isocenter.config.hardware import load_scanner
from isocenter.domain.scenario import Interference, InterferenceKind, MagnetFaults, ReceiverFaults
from isocenter.storage.stored import read_raw
from isocenter.virtual.physics.direct import simulate
from isocenter.virtual.physics.scenario import find_scenario

GRE = {"n_phase": 16, "n_slab": 2, "n_read": 48, "dummy_shots": 2}
HUM = Interference(kind=InterferenceKind.BROADBAND, level=3e-3, frequency_hz=500.0, width_hz=8e3)


@pytest.fixture
def scanner():
    plain = load_scanner("osii-one")
    return replace(plain, receiver=replace(plain.receiver, n_sensors=1))


def scenario(*sources, noise=0.0):
    return replace(
        find_scenario("ideal-block"),
        n_spins=2000,
        magnet=MagnetFaults(frequency_offset_hz=200.0),
        receiver=ReceiverFaults(noise=noise),
        interference=sources,
    )


def test_a_scan_has_the_coil_and_a_marked_sensor_that_shows_the_interference(open_road, scanner):
    with open_road(scenario(HUM, noise=1.0), scanner=scanner) as road:
        prepared = road.prepare("gre_3d", GRE)
        folder = road.measure(prepared)
    raw = read_raw(folder)
    assert raw.samples.shape[:2] == (32, 2)
    assert raw.sensor_channels == (1,)
    with ismrmrd.Dataset(str(folder / "raw.h5"), create_if_needed=False) as file:
        header = ismrmrd.xsd.CreateFromDocument(file.read_xml_header())
        line = file.read_acquisition(3)
    system = header.acquisitionSystemInformation
    assert system.receiverChannels == line.active_channels == 2
    assert [label.coilName for label in system.coilLabel] == [scanner.receiver.coil_name, "sensor 1"]
    np.testing.assert_array_equal(line.data, raw.samples[3])
    # Before and after removal: the sensor explains what the coil hears beyond its signal, and no signal is in it.
    with open_road(scenario(noise=1.0), scanner=scanner) as road:
        clean = read_raw(road.measure(road.prepare("gre_3d", GRE)))
    disturbance = (raw.samples - clean.samples)[:, 0]
    assert np.std(disturbance) > 0.7 * HUM.level
    sensor = raw.samples[:, 1]
    coherence = abs(np.vdot(sensor, disturbance)) / np.linalg.norm(sensor) / np.linalg.norm(disturbance)
    assert coherence > 0.9
    assert np.linalg.norm(clean.samples[:, 1]) < 0.2 * np.linalg.norm(clean.samples[:, 0])


def test_both_roads_give_the_same_channels_disturbances_included(open_road, scanner):
    tone = Interference(kind=InterferenceKind.TONE, level=2e-3, frequency_hz=900.0, width_hz=4.0)
    disturbed = scenario(HUM, tone, noise=1.0)
    with open_road(disturbed, scanner=scanner) as road:
        prepared = road.prepare("gre_3d", GRE)
        stored = read_raw(road.measure(prepared))
        direct = simulate(prepared.scan, road.scanner, disturbed, prepared.placement)
    assert direct.samples.shape == stored.samples.shape
    assert direct.sensor_channels == stored.sensor_channels == (1,)
    first = len(prepared.scan.segments[0].readouts)
    difference = (direct.samples - stored.samples)[:first]
    assert np.linalg.norm(difference[:, 0]) < 5e-6 * np.linalg.norm(stored.samples[:first, 0])
    assert np.linalg.norm(difference[:, 1]) < 5e-6 * np.linalg.norm(stored.samples[:first, 1])


def test_without_a_sensor_in_the_hardware_file_a_scan_has_one_channel(open_road):
    with open_road(scenario(HUM)) as road:
        prepared = road.prepare("gre_3d", GRE)
        folder = road.measure(prepared)
    assert not any(name.startswith("rx1") for segment in prepared.scan.segments for name in segment.tracks)
    raw = read_raw(folder)
    assert raw.samples.shape[1] == 1
    assert raw.sensor_channels == ()
    with h5py.File(folder / "raw.h5") as file:
        assert set(file["dataset/data"]["head"]["active_channels"]) == {1}


def test_a_scan_that_was_stopped_at_once_has_channels_that_agree(open_road, scanner):
    with open_road(scenario(), scanner=scanner) as road:
        stop = Event()
        stop.set()
        folder = road.measure(road.prepare("gre_3d", GRE), cancel=stop)
    raw = read_raw(folder)
    assert raw.samples.shape[0] == 0
    assert all(channel < raw.samples.shape[1] for channel in raw.sensor_channels)
