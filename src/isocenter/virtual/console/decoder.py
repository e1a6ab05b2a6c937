# SPDX-License-Identifier: MIT
"""From the outputs of the buffers to the channels that the scanner sees. Source: reference marcos.md 7, 9 and 11."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import GRADIENT_CHANNELS, Track
from isocenter.domain.scanner import GradientBoard
from isocenter.virtual.console import isa
from isocenter.virtual.console.gradients import DacEvents, GradientCores
from isocenter.virtual.console.receiver import Stretch
from isocenter.virtual.console.timing import Decoded

PUBLIC_MIXER_SIGN: Final = -1
"""The public transmit mixer multiplies by (cos, -sin), as the receive mixer does: it makes the conjugate of the words."""
_TX_REGISTER_TICKS = 1
_LO_MODULUS = float(2**31)
_Wave = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Ticks, strictly increasing, and the value from each on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """All outputs of one run.

    Attributes
    ----------
    waves
        Raw 16-bit value of each buffer as ticks and values, from the value before the run on; the register of TX included.
    dac_events
        Changes at the gradient DACs.
    tracks, lo_ticks, lo_hz, lo_reset_ticks
        As in ``Playback``.
    receiver_inputs
        For both receivers: ticks, RX_CTRL and rate from each tick on.
    final_buffers
        What the 24 buffers hold at the end.
    end_tick
        When the program has ended and all outputs are at rest.
    """

    waves: list[_Wave]
    dac_events: DacEvents
    tracks: dict[str, Track]
    lo_ticks: NDArray[np.int64]
    lo_hz: NDArray[np.float64]
    lo_reset_ticks: NDArray[np.int64]
    receiver_inputs: tuple[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], ...]
    final_buffers: NDArray[np.uint16]
    end_tick: int

    def loopback(self, index: int, stretches: list[Stretch], mixer_sign: int = 1) -> list[NDArray[np.complex128]]:
        """Samples of a receiver that hears its own transmitter: the TX value in the upper half of the word.

        ``mixer_sign`` as in ``waveforms``, or 1 where the way leads around the mixers.
        """
        words = []
        for stretch in stretches:
            pair = (self.waves[isa.TX0_I + 2 * index], self.waves[isa.TX0_Q + 2 * index])
            real, imag = (_signed16(_sample(wave, stretch.emit_ticks)) * 65536.0 for wave in pair)
            words.append(real + 1j * mixer_sign * imag)
        return words


def _sample(wave: _Wave, at: NDArray[np.int64]) -> NDArray[np.int64]:
    ticks, values = wave
    return values[np.searchsorted(ticks, at, side="right") - 1]


def _signed16(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(values >= 0x8000, values - 0x10000, values)


def _merge(*waves: _Wave) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Several waves on their common ticks."""
    ticks = np.unique(np.concatenate([wave[0] for wave in waves]))
    return ticks, [_sample(wave, ticks) for wave in waves]


def _track(wave: _Wave, shift: int = 0, mask: int = 0xFFFF, *, is_signed: bool = False, sign: int = 1) -> Track:
    ticks, values = wave
    values = values >> shift & mask
    if is_signed:
        values = _signed16(values)
    changes = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
    return Track(ticks=ticks[changes], values=(sign * values[changes]).astype(np.int32))


def _gradient_tracks(
    events: DacEvents, before: NDArray[np.int64], ctrl: int, board: GradientBoard | None
) -> dict[str, Track]:
    """Codes of the three channels of the connected board."""
    if board is None:
        is_fhdo = bool(ctrl & 2) or bool(np.any(events.outputs >= 4))
        board = GradientBoard.GPA_FHDO if is_fhdo else GradientBoard.OCRA1
    first = 4 if board is GradientBoard.GPA_FHDO else 0
    tracks = {}
    for channel, name in enumerate(GRADIENT_CHANNELS):
        chosen = events.outputs == first + channel
        ticks = np.concatenate([[0], events.ticks[chosen]])
        codes = np.concatenate([[before[first + channel]], events.codes[chosen]])
        tracks[name] = Track(ticks=ticks.astype(np.int64), values=codes.astype(np.int32))
    return tracks


def _gradient_writes(decoded: Decoded) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint16]]:
    ticks = np.concatenate(decoded.ticks[:3])
    buffers = np.repeat(np.arange(3, dtype=np.uint8), [len(each) for each in decoded.ticks[:3]])
    values = np.concatenate(decoded.values[:3])
    order = np.argsort(ticks, kind="stable")
    return ticks[order], buffers[order], values[order]


def waveforms(
    decoded: Decoded,
    before: NDArray[np.uint16],
    cores: GradientCores,
    origin: int,
    board: GradientBoard | None,
    mixer_sign: int = PUBLIC_MIXER_SIGN,
) -> Outputs:
    """Outputs of one run.

    Parameters
    ----------
    decoded
        The changes of each buffer.
    before
        What the 24 buffers held before.
    cores
        The gradient cores; they play the run here, and keep its end.
    origin
        Tick of the console's own clock at which the run starts.
    board
        The connected gradient board; None: the one whose core is used.
    mixer_sign
        What the transmit mixer makes of the phase of the words: -1 its negative, 1 the same.
    """
    codes_before = cores.codes
    events = cores.write(*_gradient_writes(decoded), origin=origin)
    waves = [_wave(decoded, buffer, int(before[buffer])) for buffer in range(isa.N_BUFFERS)]
    last_ticks = [int(ticks[-1]) for ticks, _ in waves] + [int(ticks) for ticks in events.ticks[-1:]]
    lo_ticks, (low, high) = _merge(waves[isa.LO0_LSB], waves[isa.LO0_MSB])
    is_held = high >> 15 & 1
    released = np.flatnonzero(np.diff(is_held, prepend=is_held[0]) == -1)
    receivers = []
    for rate in (isa.RX0_RATE, isa.RX1_RATE):
        at, (control, value) = _merge(waves[isa.RX_CTRL], waves[rate])
        receivers.append((at, control, value))
    return Outputs(
        waves=waves,
        dac_events=events,
        tracks={**_pin_tracks(waves, mixer_sign), **_gradient_tracks(events, codes_before, cores.ctrl, board)},
        lo_ticks=lo_ticks,
        lo_hz=((high & 0x7FFF) << 16 | low).astype(np.float64) * (isa.CLOCK_HZ / _LO_MODULUS),
        lo_reset_ticks=lo_ticks[released],
        receiver_inputs=tuple(receivers),
        final_buffers=np.array([values[-1] for _, values in waves], dtype=np.uint16),
        end_tick=max(decoded.finish_tick, *last_ticks) + 1,
    )


def _wave(decoded: Decoded, buffer: int, before: int) -> _Wave:
    ticks = decoded.ticks[buffer]
    if isa.TX0_I <= buffer <= isa.TX1_Q:
        ticks = ticks + _TX_REGISTER_TICKS
    return np.concatenate([[0], ticks]), np.concatenate([[before], decoded.values[buffer].astype(np.int64)])


def _pin_tracks(waves: list[_Wave], mixer_sign: int) -> dict[str, Track]:
    gates = waves[isa.GATES_LEDS]
    return {
        "tx0_i": _track(waves[isa.TX0_I], is_signed=True),
        "tx0_q": _track(waves[isa.TX0_Q], is_signed=True, sign=mixer_sign),
        "tx_gate": _track(gates, 0, 1),
        "rx_gate": _track(gates, 1, 1),
        "trig_out": _track(gates, 2, 1),
        "leds": _track(gates, 8, 0xFF),
    }
