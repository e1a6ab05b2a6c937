# SPDX-License-Identifier: MIT
"""The tests' own model of the hardware gives what the simulated hardware gave."""

import json
from pathlib import Path

import marga_model
import pytest

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "marcos" / "marcos.json").read_text())
VECTORS = {v["id"]: v for v in GOLDEN["vectors"]}


def words_of(vector):
    return [int(w, 16) for w in vector["words_hex"]]


@pytest.mark.parametrize("name", [n for n in VECTORS if n not in {"D18_fhdo_much_too_fast", "D20_overflow"}])
def test_pins_of_captured_programs(name):
    vector = VECTORS[name]
    got = {(c, n, v) for c, n, v in marga_model.play(words_of(vector)).pins if not n.startswith("lo0")}
    assert got == {(c, n, v) for c, changes in vector["sim_events"] for n, v in changes.items()}


@pytest.mark.parametrize("name", ["D17_fhdo_too_fast", "D18_fhdo_much_too_fast"])
def test_model_flags_what_the_hardware_flags(name):
    assert marga_model.play(words_of(VECTORS[name])).errors


def test_model_counts_overflow_and_full_as_the_hardware_does():
    trace = marga_model.play(words_of(VECTORS["D20_overflow"]))
    assert {b for b, n in trace.occupancy.items() if n >= 5} == {5, 6, 7, 8}
    calm = marga_model.play(words_of(VECTORS["D06_simultaneous_then_backlog"]))
    assert max(calm.occupancy.values()) <= 3
