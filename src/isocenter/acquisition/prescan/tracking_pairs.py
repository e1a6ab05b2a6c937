# SPDX-License-Identifier: MIT
"""Which readouts of a scan can be compared with which earlier ones to follow the frequency. Known before it is played."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.events import CompiledScan, Encoding

NOBODY: Final = -1
_SAME: Final = ("LIN", "PAR", "SLC", "ECO", "SET", "PHS", "REV", "SEG")
_CENTRE: Final = 1 / 8
"""Part of k-space around its centre in which lines are strong enough, to either side."""
_LEAST_APART_S: Final = 0.2
_LEAST_REACH: Final = 16  # samples to either side of the echo
_SPIN_ECHO_S: Final = 0.5e-3
"""Free evolution at the centre of a readout below which an object counts as real."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Arrays have one entry for each readout of the scan.

    Attributes
    ----------
    partner
        Earlier readout that it is compared with, or ``NOBODY``.
    is_mirror
        That one is at the opposite place of k-space, not at the same.
    is_wanted
        It will be somebody's partner.
    are_navigators
        Every partner is the first navigator, measured when the frequency had just been set.
    is_encoded
        Motion can be taken for a change of frequency.
    time_s, dwell_s, n_samples
        When its first sample is taken, from the start of the scan [s]; spacing [s] and number of its samples.
    mirror_index
        Sum of the indices of two samples that are each other's mirror images.
    """

    partner: NDArray[np.int64]
    is_mirror: NDArray[np.bool_]
    is_wanted: NDArray[np.bool_]
    are_navigators: bool
    is_encoded: bool
    time_s: NDArray[np.float64]
    dwell_s: NDArray[np.float64]
    n_samples: NDArray[np.int32]
    mirror_index: int = 0

    @property
    def n_comparisons(self) -> int:
        """Readouts that have a partner."""
        return int(np.count_nonzero(self.partner != NOBODY))

    def alike(
        self, row: int, later: NDArray[np.complex64], earlier: NDArray[np.complex64]
    ) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """The middle of a readout, where the signal is, and of its partner as if that had been the same readout."""
        n = len(later)
        centre = self.mirror_index if self.is_mirror[row] or 0 < self.mirror_index < 2 * n - 2 else n - 1
        reach = min(max(n // 4, _LEAST_REACH), n)
        low, high = max((centre + 1) // 2 - reach, centre - n + 1, 0), min(centre // 2 + reach, centre, n - 1)
        index = np.arange(low, high + 1)
        return later[index], earlier[centre - index].conj() if self.is_mirror[row] else earlier[index]


def find_pairs(scan: CompiledScan) -> Pairs:
    """Pairs of a scan: of its navigators where it has some, else of repeated lines and of mirror images."""
    readouts = scan.readouts
    start_s = np.array([segment.start_s for segment in scan.segments])
    own_s = readouts.first_sample_tick / scan.clock_hz
    time_s = start_s[scan.segment_of_readout] + own_s if len(start_s) else own_s
    navigates = (readouts.label("NAV") != 0) & (readouts.label("REF") == 0)
    partner = _same(scan, navigates, _without_lines(_table(scan)), time_s)
    is_mirror = np.zeros(len(readouts), dtype=np.bool_)
    are_navigators = bool(np.any(partner != NOBODY))
    if not are_navigators:
        central = (readouts.label("NAV") == 0) & (readouts.label("NOISE") == 0) & (readouts.label("REF") == 0)
        central &= _is_central(scan, scan.encoding)
        partner = _same(scan, central, _table(scan), time_s)
        if scan.encoding is not None:
            mirror = _mirror(scan, central & (partner == NOBODY) & _is_spin_echo(scan), scan.encoding, time_s)
            is_mirror = mirror != NOBODY
            partner = np.where(is_mirror, mirror, partner)
    is_wanted = np.zeros(len(readouts), dtype=np.bool_)
    is_wanted[partner[partner != NOBODY]] = True
    return Pairs(
        partner=partner,
        is_mirror=is_mirror,
        is_wanted=is_wanted,
        are_navigators=are_navigators,
        is_encoded=scan.encoding is not None and bool(np.any(scan.encoding.step_read_per_m)),
        time_s=time_s,
        dwell_s=readouts.dwell_ticks / scan.clock_hz,
        n_samples=readouts.n_samples,
        mirror_index=0 if scan.encoding is None else round(2 * scan.encoding.centre_sample),
    )


def _table(scan: CompiledScan) -> NDArray[np.int64]:
    """What must agree in two readouts of the same, shape ``(n, 10)``; free evolution to the microsecond."""
    readouts = scan.readouts
    evolution = scan.evolution_s if len(scan.evolution_s) == len(readouts) else np.zeros(len(readouts))
    columns = [readouts.label(name).astype(np.int64) for name in _SAME]
    columns += [np.round(np.nan_to_num(evolution) * 1e6).astype(np.int64), readouts.n_samples.astype(np.int64)]
    return np.stack(columns, axis=1)


def _without_lines(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Navigators are not encoded, whatever line they are labelled with."""
    table = table.copy()
    table[:, :2] = 0
    return table


def _same(
    scan: CompiledScan, use: NDArray[np.bool_], table: NDArray[np.int64], time_s: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The first readout of the same for each that is used."""
    partner = np.full(len(scan.readouts), NOBODY, dtype=np.int64)
    first: dict[tuple[int, ...], int] = {}
    for row in np.flatnonzero(use):
        earlier = first.setdefault(tuple(table[row].tolist()), int(row))
        if time_s[row] - time_s[earlier] >= _LEAST_APART_S:
            partner[row] = earlier
    return partner


def _mirror(
    scan: CompiledScan, use: NDArray[np.bool_], encoding: Encoding, time_s: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The earlier readout at the opposite place of k-space, same slice, contrast and direction."""
    partner = np.full(len(scan.readouts), NOBODY, dtype=np.int64)
    sums = round(2 * encoding.centre_lin), round(2 * encoding.centre_par)
    others = [scan.readouts.label(name) for name in ("SLC", "ECO", "SET", "PHS", "REV")]
    lin, par = scan.readouts.label("LIN"), scan.readouts.label("PAR")
    seen: dict[tuple[int, ...], int] = {}
    for row in np.flatnonzero(use):
        rest = tuple(int(label[row]) for label in others)
        place = int(lin[row]), int(par[row])
        earlier = seen.get((sums[0] - place[0], sums[1] - place[1], *rest))
        if earlier is not None and time_s[row] - time_s[earlier] >= _LEAST_APART_S:
            partner[row] = earlier
        seen.setdefault((*place, *rest), int(row))
    return partner


def _is_central(scan: CompiledScan, encoding: Encoding | None) -> NDArray[np.bool_]:
    if encoding is None:
        return np.zeros(len(scan.readouts), dtype=np.bool_)
    lin, par = scan.readouts.label("LIN"), scan.readouts.label("PAR")
    near_lin = np.abs(lin - encoding.centre_lin) <= max(2.0, _CENTRE * encoding.n_lin)
    near_par = np.abs(par - encoding.centre_par) <= max(2.0, _CENTRE * encoding.n_par)
    return np.asarray(near_lin & near_par)


def _is_spin_echo(scan: CompiledScan) -> NDArray[np.bool_]:
    assert scan.encoding is not None
    if len(scan.evolution_s) != len(scan.readouts):
        return np.zeros(len(scan.readouts), dtype=np.bool_)
    at_centre_s = scan.evolution_s + scan.encoding.centre_sample * scan.readouts.dwell_ticks / scan.clock_hz
    return np.asarray(np.abs(at_centre_s) < _SPIN_ECHO_S)
