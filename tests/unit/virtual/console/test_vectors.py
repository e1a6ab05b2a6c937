# SPDX-License-Identifier: MIT
"""Words of the reference compiler give the pin events of the simulated hardware, cycle by cycle."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from isocenter.virtual.console.machine import Machine
from isocenter.virtual.console.runs import SIMULATOR_BUS

_spec = importlib.util.spec_from_file_location("wire_client", Path(__file__).with_name("wire_client.py"))
wc = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wc)

# name: buffer, shift, mask
PINS = {
    **{name: (5 + i, 0, 0xFFFF) for i, name in enumerate(("tx0_i", "tx0_q", "tx1_i", "tx1_q"))},
    "rx0_rate": (3, 0, 0xFFFF),
    "rx1_rate": (4, 0, 0xFFFF),
    "tx_gate": (15, 0, 1),
    "rx_gate": (15, 1, 1),
    "trig_out": (15, 2, 1),
    "leds": (15, 8, 0xFF),
    "rx0_lo": (16, 0, 3),
    "rx1_lo": (16, 2, 3),
    "rx0_rate_valid": (16, 4, 1),
    "rx1_rate_valid": (16, 5, 1),
    "rx0_rst_n": (16, 6, 1),
    "rx1_rst_n": (16, 7, 1),
    "rx0_en": (16, 8, 1),
    "rx1_en": (16, 9, 1),
}
DACS = [f"ocra1_v{axis}" for axis in ("x", "y", "z", "z2")] + [f"fhdo_v{axis}" for axis in ("x", "y", "z", "z2")]


def pin_events(run):
    """Changes at the pins as the recording writes them."""
    events = {}
    for name, (buffer, shift, mask) in PINS.items():
        ticks, values = run.outputs.waves[buffer]
        bits = values >> shift & mask
        for i in np.flatnonzero(np.diff(bits)) + 1:
            events.setdefault(int(ticks[i]), {})[name] = int(bits[i])
    dac = run.outputs.dac_events
    for tick, output, code in zip(dac.ticks, dac.outputs, dac.codes, strict=True):
        raw = int(code) + 0x8000 if output >= 4 else int(code) & 0x3FFFF
        events.setdefault(int(tick), {})[DACS[output]] = raw
    return events


@pytest.fixture(params=wc.GOLDEN["vectors"], ids=[v["id"] for v in wc.GOLDEN["vectors"]])
def vector(request):
    return request.param


def play(vector):
    machine = Machine(bus=SIMULATOR_BUS)
    words = [int(word, 16) for word in vector["words_hex"]]
    if "was inserted before FINISH" in vector["note"]:
        words.insert(-1, 0x02000000 | int(vector["note"].split("WAIT ")[1].split()[0]))
    run = machine.begin(np.array(words, dtype=np.uint32), 0.0, 0.0)
    return machine, run, machine.finish(run, [])


def test_pins(vector):
    _, run, _ = play(vector)
    known = {"rx0_lo", "rx1_lo"}  # not recorded
    found = {
        tick: kept for tick, pins in pin_events(run).items() if (kept := {k: v for k, v in pins.items() if k not in known})
    }
    assert found == dict(map(tuple, vector["sim_events"]))


def test_messages_and_samples(vector):
    _, run, received = play(vector)
    messages = {name: texts for name, texts in run.messages.items() if texts}
    expected = {name: [t for t in texts if t != "no RX data received"] for name, texts in vector["server_messages"].items()}
    assert messages == {name: texts for name, texts in expected.items() if texts}
    for index, (real, imag) in enumerate(received):
        for part, samples in (("i", real), ("q", imag)):
            wanted = (vector["rx"] or {}).get(f"rx{index}_{part}", {"n": 0, "first": []})
            assert len(samples) == wanted["n"]
            assert samples.view(np.uint32)[: len(wanted["first"])].tolist() == wanted["first"]
