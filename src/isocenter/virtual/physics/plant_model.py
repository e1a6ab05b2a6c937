# SPDX-License-Identifier: MIT
"""The boxes around the scanner act on the physics: without amplifier no field, through a detuned coil less of it.

A run is played as the boxes are when it begins; what changes in the middle of it is felt by the next. The plant's log has
the moment all the same.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import GRADIENT_CHANNELS, TX_FULL_SCALE, Track
from isocenter.domain.scanner import Scanner
from isocenter.domain.scenario import Scenario
from isocenter.virtual.console.playback import Playback
from isocenter.virtual.peripherals.boxes import VirtualBoxes
from isocenter.virtual.peripherals.plant import PlantState
from isocenter.virtual.physics.drift import temperature_c
from isocenter.virtual.physics.model import BlochSignalModel
from isocenter.virtual.physics.receive_chain import envelope

_FULL_SCALE_CODE: Final = 32_768
_FORWARD_W: Final = 100.0  # of an amplifier whose power the hardware file does not know
_RF: Final = ("tx0_i", "tx0_q")


class PlantSignalModel:
    """A ``SignalModel`` behind amplifiers, coil circuit, attenuator and gradient board.

    Parameters
    ----------
    model
        Spins and receive chain.
    boxes
        Their plant and coil; None for a scanner without any, whose board may be off all the same.
    on_first
        Called when the first run begins.
    """

    def __init__(
        self,
        model: BlochSignalModel,
        scanner: Scanner,
        scenario: Scenario,
        boxes: VirtualBoxes | None,
        on_first: Callable[[], None] = lambda: None,
    ) -> None:
        self._model, self._scenario, self._boxes, self._on_first = model, scenario, boxes, on_first
        self._larmor_hz = model.larmor_hz
        known_w = scanner.safety.forward_power_w
        self._forward_w = _FORWARD_W if math.isnan(known_w) else known_w
        self._gain_db = 0.0
        self._best_share = 1.0
        self._run = (0.0, 0.0)  # when the run that is played ends [s], and its energy [J]
        if boxes is not None:
            tuned = boxes.plant.change("tuner", capacitors=boxes.coil.best_setting(self._larmor_hz))
            self._gain_db = tuned.attenuator_db
            self._best_share = boxes.coil.power_share(self._larmor_hz, replace(tuned, analyser_connected=False))
            boxes.plant.change("scenario", coil_load_share=scenario.devices.coil_load_share)

    def play(self, playback: Playback) -> list[NDArray[np.complex64]]:
        """What the receivers hear while the boxes are as they are now."""
        self._on_first()
        tracks = self._with_board(playback.tracks)
        if self._boxes is None:
            return self._model.play(replace(playback, tracks=tracks))
        plant = self._boxes.plant
        state, share = plant.state, self._share()
        self._tell(playback, state)
        if not state.can_transmit:
            tracks = _scaled(tracks, _RF, 0.0)
        elif share < 1.0:
            tracks = _scaled(tracks, _RF, math.sqrt(share))
        if not state.can_drive_gradients:
            tracks = _scaled(tracks, GRADIENT_CHANNELS, 0.0)
        self._model.set_receive(coil=math.sqrt(share), gain_db=state.attenuator_db - self._gain_db)
        return self._model.play(replace(playback, tracks=tracks))

    def reset(self) -> None:
        """Spins in equilibrium, noise from its seed; boxes stay as they are."""
        self._model.reset()

    def ended(self, gradients_zero: bool) -> None:
        """A run is over, or its client has gone."""
        if self._boxes is None:
            return
        plant, (end_s, energy_j) = self._boxes.plant, self._run
        self._run = (end_s, 0.0)
        plant.change(
            "console",
            rf_playing=False,
            gradients_zero=gradients_zero,
            forward_w=0.0,
            played_s=end_s,
            played_j=plant.state.played_j + energy_j,
        )

    def _share(self) -> float:
        """Power that gets into the coil, and signal that gets out, over those of the coil when it is tuned."""
        assert self._boxes is not None
        share = self._boxes.coil.power_share(self._larmor_hz, self._boxes.plant.state)
        return 1.0 if share >= self._best_share else share / self._best_share

    def _tell(self, playback: Playback, state: PlantState) -> None:
        """What this run sends, and how warm the magnet is."""
        assert self._boxes is not None
        forward_w = self._forward_w * _mean_square(playback) if state.can_transmit else 0.0
        self._run = (playback.start_s + playback.duration_s, forward_w * playback.duration_s)
        self._boxes.plant.change(
            "console",
            rf_playing=forward_w > 0,
            gradients_zero=not any(np.any(playback.tracks[name].values) for name in GRADIENT_CHANNELS),
            forward_w=forward_w,
            reflected_share=1.0 - self._boxes.coil.power_share(self._larmor_hz, state),
            magnet_c=temperature_c(self._scenario.magnet, playback.start_s),
        )

    def _with_board(self, tracks: Mapping[str, Track]) -> Mapping[str, Track]:
        """Gradient codes as the currents that a board with a gain and an offset of its own makes of them."""
        faults = self._scenario.devices
        out = dict(tracks)
        for name, gain, offset in zip(GRADIENT_CHANNELS, faults.board_gain, faults.board_offset, strict=True):
            if (gain, offset) != (1.0, 0.0):
                codes = np.rint(tracks[name].values * gain + offset * _FULL_SCALE_CODE)
                out[name] = Track(tracks[name].ticks, codes.astype(tracks[name].values.dtype))
        return out


def _scaled(tracks: Mapping[str, Track], names: tuple[str, ...], factor: float) -> Mapping[str, Track]:
    out = dict(tracks)
    for name in names:
        if name in out:
            values = out[name].values
            out[name] = Track(out[name].ticks, np.rint(values * factor).astype(values.dtype))
    return out


def _mean_square(playback: Playback) -> float:
    """Mean square of the RF envelope over a run, of full scale."""
    ticks, codes = envelope(playback.tracks)
    lasts = np.diff(np.append(ticks, playback.end_tick)).clip(min=0)
    return float(np.sum(np.abs(codes / TX_FULL_SCALE) ** 2 * lasts) / max(playback.end_tick, 1))
