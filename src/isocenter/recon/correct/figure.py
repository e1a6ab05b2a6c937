# SPDX-License-Identifier: MIT
"""What a correction did, as one number before and after."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One quantity before and after a correction.

    Attributes
    ----------
    what
        For people, such as ``rms at the edge of k-space``.
    unit
        Its unit; empty for a plain number.
    values
        Before and after.
    """

    what: str
    unit: str
    values: tuple[float, float]

    @property
    def ratio(self) -> float:
        """After over before; 1 where there was nothing before."""
        before, after = self.values
        return after / before if before > 0 else 1.0

    def __str__(self) -> str:
        before, after = self.values
        return f"{self.what}: {before:.3g} before, {after:.3g} after{' ' + self.unit if self.unit else ''}"
