# SPDX-License-Identifier: MIT
"""Timing of one spin echo without encoding, as calibrations measure it: sample ``n // 2`` is at the echo."""

from dataclasses import dataclass

from isocenter.domain.errors import SequenceError
from isocenter.domain.units import show
from isocenter.sequences.system import GUARD_DWELLS, Pulse, System, nearest, up


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoShot:
    """When things happen in one shot.

    Attributes
    ----------
    te_s, tr_s
        On the raster [s].
    lead_s
        From the start of the shot to the block of the excitation [s].
    gap_s
        From the block of the excitation to the crusher in front of the refocusing pulse [s].
    crush_s
        Length of each crusher [s].
    window_s
        Block after the refocusing pulse: crusher, readout and the rest of TR [s].
    adc_delay_s
        From the start of that block to the readout [s].
    """

    te_s: float
    tr_s: float
    lead_s: float
    gap_s: float
    crush_s: float
    window_s: float
    adc_delay_s: float


def plan_echo(
    system: System,
    pulses: tuple[Pulse, Pulse],
    readout: tuple[int, float],
    *,
    te_s: float,
    tr_s: float,
    crush_s: float,
    lead_s: float = 0.0,
) -> EchoShot:
    """Timing of a shot whose readout ends it; what is left of TR comes first, in ``lead_s``.

    Parameters
    ----------
    pulses
        Excitation and refocusing pulse.
    readout
        Number of samples, and their spacing [s].
    te_s, tr_s
        As asked for; refused by these names when too short.
    crush_s
        Length of a crusher on each side of the refocusing pulse [s].
    lead_s
        Time that is needed before the excitation [s].
    """
    (excite, refocus), (n_samples, dwell_s) = pulses, readout
    before_s = up((n_samples // 2 + 0.5) * dwell_s)
    wait_s = max(system.dead_time_s + GUARD_DWELLS * dwell_s, crush_s)
    needs_s = 2 * max(excite.after_s + crush_s + refocus.centre_s, refocus.after_s + wait_s + before_s)
    te_s, tr_s = nearest(te_s, 2e-5), nearest(tr_s)
    if te_s < needs_s - 1e-9:
        raise SequenceError(
            f"TE (te_s) {show(te_s, 'ms', 4)} is too short: pulses and this readout need {show(up(needs_s), 'ms', 5)}.",
            f"Set TE to {up(needs_s, 2e-5) * 1e3:.2f} ms or more, or take fewer samples.",
        )
    to_echo_s = round(te_s / 2 - refocus.after_s, 9)
    window_s = up(to_echo_s + (n_samples / 2 + GUARD_DWELLS + 1) * dwell_s)
    shot_s = round(excite.centre_s + te_s / 2 + refocus.after_s + window_s, 9)
    if tr_s < shot_s + lead_s - 1e-9:
        shortest_s = up(shot_s + lead_s, 1e-4)
        raise SequenceError(
            f"TR (tr_s) {show(tr_s, 'ms', 5)} is too short: pulses and readout take {show(shortest_s, 'ms', 5)}.",
            f"Set TR to {shortest_s * 1e3:.1f} ms or more.",
        )
    return EchoShot(
        te_s=te_s,
        tr_s=tr_s,
        lead_s=round(tr_s - shot_s, 9),
        gap_s=round(te_s / 2 - excite.after_s - refocus.centre_s - crush_s, 9),
        crush_s=crush_s,
        window_s=window_s,
        adc_delay_s=round(to_echo_s - (n_samples // 2 + 0.5) * dwell_s, 9),
    )
