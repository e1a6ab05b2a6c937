# SPDX-License-Identifier: MIT
"""Where a patient who does not lie still lies, as a function of virtual time."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.geometry import PatientPosition, lps_from_device
from isocenter.domain.scenario import Motion

LEVER_M: Final = 0.1
"""At this distance from the isocenter a restless turn moves the head as far as a restless shift does [m]."""
LARGEST: Final = 3.0
"""Restless moves are cut off at this many standard deviations, so that nothing leaves the bore."""
_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Pose:
    """A rigid move from the first place: ``turn @ position + shift``, device axes [m]."""

    turn: NDArray[np.float64]
    shift_m: NDArray[np.float64]

    def apply(self, position_m: NDArray[np.floating]) -> NDArray[np.float64]:
        """Places of shape ``(n, 3)`` after the move."""
        return np.asarray(position_m, dtype=np.float64) @ self.turn.T + self.shift_m

    def distance_m(self, other: "Pose", reach_m: float) -> float:
        """At most how far a point within ``reach_m`` of the isocenter lies from where it lies in another pose [m]."""
        turn = float(np.linalg.norm(self.turn - other.turn, 2))
        return float(np.linalg.norm(self.shift_m - other.shift_m)) + turn * reach_m


def rotation(vector_rad: NDArray[np.floating] | tuple[float, float, float]) -> NDArray[np.float64]:
    """Matrix of a rotation vector (Rodrigues' formula)."""
    vector = np.asarray(vector_rad, dtype=np.float64)
    angle = float(np.linalg.norm(vector))
    if angle == 0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


class MotionPlan:
    """Pose of a patient at any virtual time; the same for the same seed, however often and in whatever order it is asked."""

    def __init__(self, motion: Motion, position: PatientPosition = PatientPosition.HFS, seed: int = 0) -> None:
        self._motion = motion
        self._lps = lps_from_device(position)
        self._steps = sorted(motion.steps, key=lambda step: step.start_s)
        self._rng = np.random.default_rng([seed, 0x3057])
        self._times_s = np.zeros(0)
        self._moves = np.zeros((0, 6))

    @property
    def is_still(self) -> bool:
        """True when nothing ever moves."""
        motion = self._motion
        return not self._steps and not any(motion.breathing_lps_m) and not (motion.restless_hz and motion.restless_m)

    def reach_m(self, radius_m: float) -> float:
        """At most how far a point within a radius ever is from its first place [m]."""
        motion = self._motion
        furthest = [np.linalg.norm(s.shift_lps_m) + np.linalg.norm(s.turn_lps_rad) * radius_m for s in self._steps]
        restless = LARGEST * motion.restless_m * (1 + radius_m / LEVER_M) if motion.restless_hz else 0.0
        return float(max(furthest, default=0.0) + np.linalg.norm(motion.breathing_lps_m) + restless)

    def pose(self, time_s: float) -> Pose:
        """Pose at a virtual time [s]."""
        shift, turn = np.zeros(3), np.eye(3)
        for step in self._steps:
            if step.start_s <= time_s:
                shift, turn = np.array(step.shift_lps_m, dtype=np.float64), rotation(step.turn_lps_rad)
        if any(self._motion.breathing_lps_m):
            filled = np.sin(np.pi * time_s / self._motion.breathing_period_s) ** 4
            shift = shift + filled * np.array(self._motion.breathing_lps_m)
        if self._motion.restless_hz > 0 and self._motion.restless_m > 0:
            move = self._restless(time_s)
            shift, turn = shift + move[:3], rotation(move[3:]) @ turn
        return Pose(self._lps.T @ turn @ self._lps, self._lps.T @ shift)

    def _restless(self, time_s: float) -> NDArray[np.float64]:
        """Shift and turn since the last random move before a time."""
        while not len(self._times_s) or self._times_s[-1] <= time_s:
            waits_s = self._rng.exponential(1 / self._motion.restless_hz, _BATCH)
            last_s = self._times_s[-1] if len(self._times_s) else 0.0
            self._times_s = np.append(self._times_s, last_s + np.cumsum(waits_s))
            drawn = np.clip(self._rng.normal(size=(_BATCH, 6)), -LARGEST, LARGEST) / np.sqrt(3)
            scale = self._motion.restless_m * np.array([1, 1, 1, *[1 / LEVER_M] * 3])
            self._moves = np.vstack([self._moves, drawn * scale])
        index = int(np.searchsorted(self._times_s, time_s, side="right")) - 1
        return self._moves[index] if index >= 0 else np.zeros(6)
