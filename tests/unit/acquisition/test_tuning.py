# SPDX-License-Identifier: MIT
"""Tuning finds a setting where there is one, says plainly why not where there is none, and always gives the coil back."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.tuning import MAX_SETTINGS, Trial, Tuning, impedance_ohm, resonance, s11_at, tune_coil
from isocenter.acquisition.prescan.tuning_network import TunerNetwork
from isocenter.devices.roles import Reflection
from isocenter.domain.errors import ConnectError, DeviceFault, DeviceTimeout, ScanAborted, WrongState
from isocenter.virtual.peripherals.coil_circuit import CoilCircuit
from isocenter.virtual.peripherals.plant import Plant

SILENT = DeviceTimeout("The network analyser did not answer 'scan' within 5 s.", "Switch the analyser off and on.")


class MemoryTuner:
    """Relays without a line; the lines have tests of their own."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self.n_settings = 0
        self.breaks_at = math.inf
        self.is_stuck_at_analyser = False
        self.is_closed = False

    def open(self) -> str:
        self.is_closed = False
        return "tuner"

    def set_capacitors(self, series: int, tune: int, match: int) -> None:
        self.n_settings += 1
        if self.n_settings == self.breaks_at:
            raise DeviceFault("The coil tuner refused: it said '>ERR;'.", "Switch the coil tuner off and on.")
        self._plant.change("tuner", capacitors=(series, tune, match))

    def connect_analyser(self, is_connected: bool) -> None:
        if self.is_closed:
            raise ConnectError("The line to the coil tuner is not open.", "Connect it again.")
        if self.is_stuck_at_analyser and not is_connected:
            raise DeviceTimeout("The coil tuner did not set its relays within 0.22 s.", "Check its power.")
        self._plant.change("tuner", analyser_connected=is_connected)


class MemoryAnalyser:
    """Sweeps the coil; ``fails`` is asked before each sweep for an error to raise."""

    def __init__(self, plant: Plant, coil: CoilCircuit) -> None:
        self._plant, self._coil = plant, coil
        self._random = np.random.default_rng(1)
        self.n_sweeps = self.n_opened = 0
        self.fails: Callable[[int], Exception | None] = lambda _: None

    def open(self) -> str:
        self.n_opened += 1
        return "analyser"

    def sweep(self, start_hz: float, stop_hz: float, n_points: int = 101) -> Reflection:
        self.n_sweeps += 1
        if (error := self.fails(self.n_sweeps)) is not None:
            raise error
        f = np.linspace(start_hz, stop_hz, n_points)
        noise = self._random.normal(0, 5e-4, (2, n_points))
        return Reflection(frequency_hz=f, s11=self._coil.reflection(f, self._plant.state) + noise[0] + 1j * noise[1])


class Rig:
    """A coil with its devices."""

    def __init__(self, coil: CoilCircuit, larmor_hz: float = 2e6, **truth: object) -> None:
        self.plant = Plant()
        self.plant.change("test", **truth)
        self.coil, self.larmor_hz = coil, larmor_hz
        self.tuner, self.analyser = MemoryTuner(self.plant), MemoryAnalyser(self.plant, coil)

    def tune(self, **arguments: object) -> Tuning:
        result = tune_coil(self.tuner, self.analyser, self.larmor_hz, pause=lambda _: None, **arguments)  # type: ignore[arg-type]
        assert not self.plant.state.analyser_connected
        return result

    def true_db(self) -> float:
        """At the scanner, for the setting that was left."""
        return 10 * math.log10(max(1e-9, 1 - self.coil.power_share(self.larmor_hz, self.plant.state)))


@pytest.mark.parametrize("larmor_hz", [1.96e6, 2.0e6, 2.065e6, 2.15e6, 2.34e6, 3.07e6, 3.4e6])
@pytest.mark.parametrize("seed", [1, 2])
def test_it_matches_coils_of_many_boxes_of_capacitors_in_few_settings(larmor_hz: float, seed: int) -> None:
    rig = Rig(CoilCircuit.for_frequency(larmor_hz, seed), larmor_hz)
    result = rig.tune()
    assert result.verdict is Verdict.PASS, result
    assert result.s11_db <= -20
    assert rig.true_db() <= -19.5  # what the scanner sees, with what was left switched in
    assert rig.plant.state.capacitors == result.codes
    assert abs(result.impedance_ohm - 50) < 11
    assert abs(result.minimum_hz - larmor_hz) < 0.2 * result.bandwidth_hz
    assert rig.tuner.n_settings <= 12


@pytest.mark.slow
def test_whatever_the_coil_the_best_setting_is_found() -> None:
    """Coils, wires and capacitors at random."""
    random = np.random.default_rng(7)
    for seed in range(120):
        larmor_hz = float(random.uniform(1.9e6, 3.5e6))
        coil = CoilCircuit(
            inductance_h=9.25e-6 * (2e6 / larmor_hz) ** 1.5 * float(random.uniform(0.8, 1.25)),
            quality=float(random.uniform(18, 60)),
            stray_f=float(random.uniform(0, 30e-12)),
            spread=float(random.uniform(0, 0.05)),
            seed=seed,
        )
        rig = Rig(coil, larmor_hz)
        rig.plant.change("test", capacitors=coil.best_setting(larmor_hz))
        best_db = rig.true_db()
        result = rig.tune()
        assert result.s11_db <= max(-20, best_db + 0.2), (seed, best_db, result.s11_db)
        assert rig.tuner.n_settings <= 40


def test_the_setting_of_last_time_is_tried_first_and_kept() -> None:
    rig = Rig(CoilCircuit())
    first = rig.tune()
    n_settings = rig.tuner.n_settings
    seen: list[Trial] = []
    again = rig.tune(last_good=first.codes, on_trial=seen.append)
    assert again.verdict is Verdict.PASS
    assert again.codes == first.codes
    assert len(again.trials) == 1
    assert tuple(seen) == again.trials
    assert rig.tuner.n_settings - n_settings <= 2


@pytest.mark.parametrize("load_share", [-0.02, 0.01, 0.03])
def test_a_setting_that_lost_its_match_is_mended(load_share: float) -> None:
    rig = Rig(CoilCircuit())
    last_good = rig.tune().codes
    rig.plant.change("test", coil_load_share=load_share)
    assert rig.true_db() > -20
    result = rig.tune(last_good=last_good)
    assert result.verdict is Verdict.PASS, result.problem
    assert rig.true_db() <= -19.5


def test_where_no_setting_reaches_20_db_the_best_is_found_and_warned_of() -> None:
    larmor_hz = 2.725e6
    rig = Rig(CoilCircuit.for_frequency(larmor_hz, seed=3), larmor_hz)
    result = rig.tune()
    assert result.verdict is Verdict.WARN
    assert "% of the power comes back" in result.problem
    assert "middle of the coil" in result.remedy
    assert rig.tuner.n_settings <= MAX_SETTINGS + 2
    network, f = TunerNetwork(), np.array([larmor_hz])
    z = np.array([complex(rig.coil.impedance(f, codes)[0]) for codes in network.settings()])
    best_db = 20 * math.log10(np.abs((z - 50) / (z + 50)).min())
    assert best_db > -20
    assert rig.true_db() == pytest.approx(best_db, abs=0.7)


@pytest.mark.parametrize("fault", ["coil_plugged", "coil_cable_broken"])
def test_without_a_coil_it_says_so_soon(fault: str) -> None:
    rig = Rig(CoilCircuit(), **{fault: fault != "coil_plugged"})
    result = rig.tune()
    assert result.verdict is Verdict.FAIL
    assert result.problem.startswith("No coil is seen")
    assert "plug" in result.remedy
    assert "cable" in result.remedy
    assert rig.tuner.n_settings <= 6


@pytest.mark.parametrize("inductance_h", [2.5e-6, 40e-6])
def test_a_coil_for_another_scanner_is_out_of_reach(inductance_h: float) -> None:
    rig = Rig(CoilCircuit(inductance_h=inductance_h))
    result = rig.tune()
    assert result.verdict is Verdict.FAIL
    assert "cannot be matched at 2.000 MHz" in result.problem
    assert "right coil" in result.remedy
    assert rig.tuner.n_settings <= MAX_SETTINGS + 2


def test_an_analyser_that_hangs_now_and_then_is_switched_off_and_on() -> None:
    rig = Rig(CoilCircuit())
    rig.analyser.fails = lambda n: SILENT if n in (2, 4) else None
    result = rig.tune()
    assert result.verdict is Verdict.PASS
    switched = [change.state.analyser_connected for change in rig.plant.log() if "analyser_connected" in change.names]
    assert switched == [True, False, True, False, True, False]  # its power hangs on the relays
    assert rig.analyser.n_opened == 3


def test_an_analyser_that_is_dead_ends_it_after_three_attempts() -> None:
    rig = Rig(CoilCircuit())
    rig.analyser.fails = lambda _: SILENT
    result = rig.tune()
    assert result.verdict is Verdict.FAIL
    assert "did not answer" in result.problem
    assert "off and on" in result.remedy
    assert rig.analyser.n_opened == 4


def test_an_analyser_without_calibration_is_not_restarted_but_told() -> None:
    rig = Rig(CoilCircuit())
    rig.analyser.fails = lambda _: WrongState("The network analyser is not calibrated.", "Calibrate it.")
    assert rig.tune().problem == "The network analyser is not calibrated."
    assert rig.analyser.n_opened == 1


@pytest.mark.parametrize("breaks_at", [1, 2, 3])
def test_a_tuner_that_refuses_fails_the_step_with_the_coil_at_the_scanner(breaks_at: int) -> None:
    rig = Rig(CoilCircuit())
    rig.tuner.breaks_at = breaks_at
    result = rig.tune()
    assert result.verdict is Verdict.FAIL
    assert "refused" in result.problem


def test_a_coil_that_cannot_be_given_back_forbids_scanning() -> None:
    rig = Rig(CoilCircuit())
    rig.tuner.is_stuck_at_analyser = True
    with pytest.raises(DeviceFault, match=r"may still be connected to the network analyser.*\n.*Do not scan"):
        rig.tune()


def test_a_line_that_was_closed_meanwhile_is_opened_to_give_the_coil_back() -> None:
    rig = Rig(CoilCircuit())

    def close(trial: Trial) -> None:
        rig.tuner.is_closed = True
        raise ScanAborted("Stopped.", "Start again.")

    with pytest.raises(ScanAborted):
        rig.tune(on_trial=close)
    assert not rig.plant.state.analyser_connected


def test_stop_gives_the_coil_back() -> None:
    rig = Rig(CoilCircuit())

    def stop(trial: Trial) -> None:
        raise ScanAborted("Stopped.", "Start again.")

    with pytest.raises(ScanAborted):
        rig.tune(on_trial=stop)
    assert not rig.plant.state.analyser_connected


def test_a_resonance_is_measured_as_known() -> None:
    """A series circuit whose resonance and width follow from its parts: |S11|^2 is 1/2 where |X| is 50 + R, for R = 50."""
    f0, quality = 2e6, 40.0
    f = np.linspace(1.8e6, 2.2e6, 401)
    z = 50 * (1 + 1j * quality * (f / f0 - f0 / f))
    reflection = Reflection(frequency_hz=f, s11=(z - 50) / (z + 50))
    minimum_hz, bandwidth_hz = resonance(reflection)
    assert minimum_hz == pytest.approx(f0, abs=100)
    assert bandwidth_hz == pytest.approx(2 * f0 / quality, rel=0.03)
    assert impedance_ohm(s11_at(reflection, f0 + 333)) == pytest.approx(50 * (1 + 2j * quality * 333 / f0), abs=0.1)


def test_a_flat_or_cut_sweep_has_no_resonance() -> None:
    f = np.linspace(1.9e6, 2.1e6, 101)
    for magnitude in (np.full(101, 0.97), np.linspace(0.9, 0.2, 101)):
        assert all(map(math.isnan, resonance(Reflection(frequency_hz=f, s11=magnitude + 0j))))


def test_every_different_setting_is_in_the_table_once() -> None:
    network = TunerNetwork()
    settings = network.settings()
    assert len(settings) == len(set(settings)) == 16 * 32 * 16

    def total(bank: tuple[float, ...], code: int) -> float:
        return sum(value for place, value in enumerate(bank) if code >> place & 1)

    assert len({tuple(map(total, network.banks, codes)) for codes in settings}) == len(settings)
    for codes in itertools.islice(settings, 0, None, 501):
        for other in network.neighbours(codes):
            assert sum(a != b for a, b in zip(codes, other, strict=True)) == 1
