# SPDX-License-Identifier: MIT
"""The virtual coil behaves like a coil, and its tuner can match it."""

import itertools
import math

import numpy as np
import pytest

from isocenter.virtual.peripherals.coil_circuit import CoilCircuit
from isocenter.virtual.peripherals.plant import PlantState

FREQUENCIES = (1.96e6, 2.0e6, 2.065e6, 2.15e6, 2.34e6, 2.725e6, 3.07e6, 3.4e6)


def best_setting(coil: CoilCircuit, frequency_hz: float) -> tuple[tuple[int, int, int], float]:
    """All settings, tried one by one."""
    f = np.array([frequency_hz])
    useful = [code for code in range(32) if not code & 1] + [1]
    best, best_db = (0, 0, 0), 0.0
    for codes in itertools.product(useful[1:], range(32), useful[1:]):
        z = complex(coil.impedance(f, codes)[0])
        db = 20 * math.log10(abs((z - 50) / (z + 50)))
        if db < best_db:
            best, best_db = codes, db
    return best, best_db


@pytest.mark.parametrize("frequency_hz", [2.0e6, 3.07e6])
def test_some_setting_matches_it_to_20_db(frequency_hz: float) -> None:
    coil = CoilCircuit.for_frequency(frequency_hz)
    codes, s11_db = best_setting(coil, frequency_hz)
    assert s11_db < -20
    assert coil.best_setting(frequency_hz) == codes
    state = PlantState(capacitors=codes, analyser_connected=True)
    s11 = coil.reflection(np.array([frequency_hz]), state)
    assert 20 * math.log10(abs(s11[0])) == pytest.approx(s11_db, abs=1e-6)
    scanner = PlantState(capacitors=codes)
    assert coil.power_share(frequency_hz, scanner) > 0.99


@pytest.mark.parametrize("frequency_hz", FREQUENCIES)
def test_the_family_of_coils_can_be_matched_at_every_field(frequency_hz: float) -> None:
    coil = CoilCircuit.for_frequency(frequency_hz)
    assert coil.power_share(frequency_hz, PlantState(capacitors=coil.best_setting(frequency_hz))) > 0.99


def test_a_hand_near_it_lowers_the_resonance_as_told() -> None:
    coil = CoilCircuit()
    frequency_hz = np.linspace(1.2e6, 3.5e6, 4001)

    def minimum_hz(load_share: float) -> float:
        z = coil.impedance(frequency_hz, (1, 6, 6), load_share=load_share)
        return float(frequency_hz[np.abs((z - 50) / (z + 50)).argmin()])

    assert minimum_hz(0.02) == pytest.approx(0.98 * minimum_hz(0.0), rel=4e-3)


@pytest.mark.parametrize(
    "state",
    [
        PlantState(capacitors=(1, 6, 6), analyser_connected=True, coil_plugged=False),
        PlantState(capacitors=(1, 6, 6), analyser_connected=True, coil_cable_broken=True),
        PlantState(capacitors=(1, 6, 6), analyser_connected=False),
    ],
)
def test_without_a_coil_all_comes_back_at_all_frequencies(state: PlantState) -> None:
    s11 = CoilCircuit().reflection(np.linspace(1e6, 4e6, 301), state)
    assert np.abs(s11).min() > 0.95


def test_no_power_reaches_a_coil_that_hangs_on_the_analyser_or_nowhere() -> None:
    coil = CoilCircuit()
    for state in (
        PlantState(capacitors=(1, 6, 6), analyser_connected=True),
        PlantState(capacitors=(1, 6, 6), coil_plugged=False),
        PlantState(capacitors=(1, 6, 6), coil_cable_broken=True),
    ):
        assert coil.power_share(2e6, state) == 0.0


def test_it_is_passive() -> None:
    """No setting gives more back than was sent, at any frequency."""
    coil, frequency_hz = CoilCircuit(), np.geomspace(1e5, 1e8, 200)
    for codes in itertools.product((0, 1, 2, 31), (0, 5, 31), (0, 1, 2, 31)):
        z = coil.impedance(frequency_hz, codes)
        assert (z.real > -1e-6).all()
