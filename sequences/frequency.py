# SPDX-License-Identifier: MIT
"""Spectrum of a spin echo, for the prescan's search for the frequency.

An echo rather than a free induction decay: the receiver is deaf for some hundred microseconds after a pulse, which is most
of a decay in an inhomogeneous low field, while the echo comes whole. Nothing is encoded; the only gradients are two equal
crushers, which take away what the 180° pulse excites by itself, and spoilers behind each readout: what is left of one shot,
or of an earlier scan, would turn the phase of the next. Sample ``n // 2`` is at the echo.
"""

from dataclasses import dataclass
from typing import Any

from isocenter.sequences.kit import Player, SequenceError, System, dwell_for, integer, nearest, number, pp, show, up, usual

TITLE = "Frequency"
SUMMARY = "Spectrum of the whole coil from a spin echo: where the scanner's frequency is."
RECON = "spectrum"
CLINICAL = False

PI = 3.141592653589793
CRUSHER_PER_M = 400.0
SPOILER_PER_M = 1500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be chosen."""

    bandwidth_hz: float = usual.spectrum_window(100e3)
    n_samples: int = usual.echo_samples()
    te_s: float = number(0.016, "TE", unit="ms", low=0.002, high=1.0, help="From the pulse to the echo.")
    tr_s: float = number(0.5, "TR", unit="ms", low=0.01, high=20.0, help="From one pulse to the next.")
    rf_s: float = number(
        60e-6, "RF pulse length", unit="us", low=10e-6, high=1e-3, help="Of the 90° pulse; the 180° is twice that."
    )
    averages: int = integer(2, "Averages", low=1, high=64, help="Times that the echo is measured.")
    dummy_shots: int = integer(0, "Dummy shots", low=0, high=20, help="Shots before the first measurement.")


def build(p: Parameters, system: System) -> Any:
    """Sequence for one scanner."""
    dwell_s = dwell_for(p.bandwidth_hz)
    guard_s = 4 * dwell_s
    refocus = system.hard_pulse(PI, p.rf_s, times=2, use="refocusing", phase_rad=PI / 2)
    crush_s = max(1e-3, up(system.lobe_s(CRUSHER_PER_M)))
    player = Player(system)
    crusher = player.once(system.lobe(CRUSHER_PER_M, crush_s).make("z", CRUSHER_PER_M))
    spoil_s = max(3e-3, up(system.lobe_s(SPOILER_PER_M)))
    lobe = system.lobe(SPOILER_PER_M, spoil_s)
    spoilers = [player.once(lobe.make(axis, share * SPOILER_PER_M)) for axis, share in (("x", 1.0), ("y", -0.7), ("z", 0.5))]
    player.once(refocus.event)

    excites = [system.hard_pulse(PI / 2, p.rf_s, use="excitation", phase_rad=phase) for phase in (0.0, PI)]
    for excite in excites:
        player.once(excite.event)
    excite = excites[0]
    before_s = up((p.n_samples // 2 + 0.5) * dwell_s)  # from the start of the window to the echo
    wait_s = max(system.dead_time_s + guard_s, crush_s)
    needs_s = 2 * max(excite.after_s + crush_s + refocus.centre_s, refocus.after_s + wait_s + before_s)
    te_s = nearest(p.te_s, 2e-5)
    if te_s < needs_s - 1e-9:
        raise SequenceError(
            f"TE (te_s) {show(te_s, 'ms', 4)} is too short: pulses and this readout need {show(up(needs_s), 'ms', 5)}.",
            f"Set TE to {up(needs_s, 2e-5) * 1e3:.2f} ms or more, or take fewer samples.",
        )
    delay_s = round(te_s / 2 - refocus.after_s, 9)  # from the end of the 180° block to the echo
    adc_start_s = round(delay_s - (p.n_samples // 2 + 0.5) * dwell_s, 9)
    window_s = up(delay_s + (p.n_samples / 2 + 5) * dwell_s)
    shot_s = round(excite.centre_s + te_s / 2 + refocus.after_s + window_s + spoil_s, 9)
    tr_s = nearest(p.tr_s)
    if tr_s < shot_s - 1e-9:
        raise SequenceError(
            f"TR (tr_s) {show(tr_s, 'ms', 5)} is too short: pulses and readout take {show(shot_s, 'ms', 5)}.",
            f"Set TR to {up(shot_s, 1e-4) * 1e3:.1f} ms or more.",
        )
    gap_s = round(te_s / 2 - excite.after_s - refocus.centre_s, 9)
    for shot in range(-p.dummy_shots, p.averages):
        phase_rad = (0.0, PI)[shot % 2]
        adc = pp.make_adc(
            num_samples=p.n_samples, dwell=dwell_s, delay=adc_start_s, phase_offset=phase_rad, system=system.opts
        )
        player.block(excite.block_s, excites[shot % 2].event)
        player.block(gap_s - crush_s)
        player.block(crush_s, crusher)
        player.block(refocus.block_s, refocus.event)
        player.block(window_s, crusher, *([adc, *player.labels(AVG=shot)] if shot >= 0 else []))
        player.block(spoil_s + tr_s - shot_s, *spoilers)
    return player.define(
        RepetitionTime=tr_s,
        EffectiveEchoTime=te_s,
        Bandwidth=1 / dwell_s,
        Samples=p.n_samples,
        Averages=p.averages,
        PhaseCycle="0 180",
    )
