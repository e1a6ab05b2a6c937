# SPDX-License-Identifier: MIT
"""Tuning through both drivers on real lines: the relays move, the coil's reflection follows, the analyser hangs."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.tuning import Tuning, tune_coil
from isocenter.devices.catalogue import make_peripheral
from isocenter.devices.nanovna import NanoVna
from isocenter.devices.nanovna_v2 import NanoVnaV2
from isocenter.devices.tuner import RelayTuner
from isocenter.domain.device import DeviceLink, DeviceRole
from isocenter.domain.errors import DeviceFault
from isocenter.virtual.peripherals.coil_circuit import CoilCircuit
from isocenter.virtual.peripherals.lines import VirtualLine
from isocenter.virtual.peripherals.nanovna import VirtualNanoVna
from isocenter.virtual.peripherals.nanovna_v2 import VirtualNanoVnaV2
from isocenter.virtual.peripherals.plant import Plant
from isocenter.virtual.peripherals.tuner import VirtualTuner

LARMOR_HZ = 2.0e6
ON_PTY = pytest.mark.parametrize("rig", ["nanovna-pty", "nanovna-v2-pty"], indirect=True)  # the kind of line does not matter


@dataclass
class Rig:
    """Coil, tuner and analyser on their lines."""

    plant: Plant
    coil: CoilCircuit
    tuner: RelayTuner
    tuner_line: VirtualLine
    far_tuner: VirtualTuner
    analyser: NanoVna | NanoVnaV2
    far_analyser: VirtualNanoVna | VirtualNanoVnaV2
    analyser_line: VirtualLine

    def tune(self, **arguments: object) -> Tuning:
        return tune_coil(self.tuner, self.analyser, LARMOR_HZ, pause=lambda _: None, **arguments)  # type: ignore[arg-type]


@pytest.fixture(params=["nanovna-pty", "nanovna-tcp", "nanovna-v2-pty", "nanovna-v2-tcp"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    model, via = request.param.rsplit("-", 1)
    plant, coil = Plant(), CoilCircuit.for_frequency(LARMOR_HZ)
    far_tuner = VirtualTuner(plant)
    far: VirtualNanoVna | VirtualNanoVnaV2 = (
        VirtualNanoVna(plant, coil, is_powered_by_tuner=True) if model == "nanovna" else VirtualNanoVnaV2(plant, coil)
    )
    with VirtualLine(far_tuner, via) as tuner_line, VirtualLine(far, via) as analyser_line:
        tuner = make_peripheral(
            DeviceLink(role=DeviceRole.TUNER, driver="rfautomate", url=tuner_line.url, options={"boot_s": 0.0})
        )
        kind = NanoVna if model == "nanovna" else NanoVnaV2
        analyser = kind(
            DeviceLink(role=DeviceRole.NETWORK_ANALYSER, driver=model, url=analyser_line.url), sweep_timeout_s=2.0
        )
        tuner.open()
        yield Rig(plant, coil, tuner, tuner_line, far_tuner, analyser, far, analyser_line)  # type: ignore[arg-type]
        tuner.close()
        analyser.close()


def test_a_detuned_coil_is_matched_and_given_back(rig: Rig) -> None:
    rig.plant.change("test", capacitors=(1, 3, 9))
    assert rig.coil.power_share(LARMOR_HZ, rig.plant.state) < 0.5
    result = rig.tune()
    assert result.verdict is Verdict.PASS, result.problem
    assert result.s11_db <= -20
    assert rig.far_tuner.n_settings <= 20
    assert rig.plant.state.capacitors == result.codes
    assert not rig.plant.state.analyser_connected
    assert rig.coil.power_share(LARMOR_HZ, rig.plant.state) > 0.985


@ON_PTY
def test_an_unplugged_coil_is_told(rig: Rig) -> None:
    rig.plant.change("test", coil_plugged=False)
    result = rig.tune()
    assert (result.verdict, result.problem.split(":")[0]) == (Verdict.FAIL, "No coil is seen")
    assert not rig.plant.state.analyser_connected


@ON_PTY
def test_an_analyser_that_hangs_is_revived_by_the_power_that_the_tuner_gives_it(rig: Rig) -> None:
    if not isinstance(rig.far_analyser, VirtualNanoVna):
        rig.analyser_line.fail(mute=True)
        result = rig.tune()
        assert result.verdict is Verdict.FAIL
        assert "network analyser" in result.problem
        assert not rig.plant.state.analyser_connected
        return
    rig.far_analyser.hangs_after = 8
    result = rig.tune()
    assert result.verdict is Verdict.PASS, result.problem
    switched = [change.state.analyser_connected for change in rig.plant.log() if "analyser_connected" in change.names]
    assert switched == [True, False, True, False]


@ON_PTY
def test_a_tuner_that_falls_silent_forbids_scanning(rig: Rig) -> None:
    seen = []

    def silence(trial: object) -> None:
        seen.append(trial)
        rig.tuner_line.fail(deaf=True, mute=True)

    with pytest.raises(DeviceFault, match=r"may still be connected to the network analyser.*\n.*Do not scan"):
        rig.tune(on_trial=silence)
    assert len(seen) == 1
    rig.tuner_line.heal()
    assert rig.plant.state.analyser_connected  # it was true
    assert rig.tune().verdict is Verdict.PASS
