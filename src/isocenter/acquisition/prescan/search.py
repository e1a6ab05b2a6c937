# SPDX-License-Identifier: MIT
"""Where to look for the frequency next: first where it was, then ever farther away, and always a second time."""

from isocenter.acquisition.prescan.frequency import Doubt, Frequency, Refusal
from isocenter.domain.errors import AcquisitionError


class FrequencySearch:
    """Plans the measurements of a prescan; the app measures and reports.

    ::

        search = FrequencySearch(start_hz, span_hz, band_hz)
        while (lo_hz := search.next_lo_hz()) is not None:
            search.report(measure_frequency(<scan with the local oscillator at lo_hz>))
        frequency = search.result()

    What is found is measured once more with the local oscillator at its place. A line from outside the band, folded back
    into it, then moves to somewhere else and is not believed.

    Parameters
    ----------
    start_hz
        First guess: the last known frequency, or the hardware file's.
    span_hz
        How far to look to either side [Hz].
    band_hz
        Bandwidth of one measurement [Hz].
    tolerance_hz
        How far two measurements may differ and still be believed [Hz].
    allowed_hz
        Lowest and highest local oscillator that the scanner's checks let through [Hz].
    """

    def __init__(
        self,
        start_hz: float,
        span_hz: float,
        band_hz: float,
        tolerance_hz: float = 50.0,
        allowed_hz: tuple[float, float] = (0.0, float("inf")),
    ) -> None:
        self._start_hz, self._span_hz, self._tolerance_hz = start_hz, span_hz, tolerance_hz
        self._allowed_hz = allowed_hz
        step_hz = 0.6 * band_hz
        n_steps = max(int(-(-(span_hz - 0.3 * band_hz) // step_hz)), 0)  # so that the bands overlap and cover the span
        steps_hz = [sign * min(k * step_hz, span_hz) for k in range(1, n_steps + 1) for sign in (1, -1)]
        places_hz = [min(max(start_hz + step, allowed_hz[0]), allowed_hz[1]) for step in (0.0, *steps_hz)]
        self._waiting = list(dict.fromkeys(places_hz))
        self._tried: list[float] = []
        self._candidate: Frequency | None = None
        self._found: Frequency | None = None
        self._refusals: list[Refusal] = []

    @property
    def n_tries(self) -> int:
        """Measurements so far."""
        return len(self._tried)

    @property
    def n_left(self) -> int:
        """Measurements that are still planned, at most."""
        return 0 if self._found is not None else len(self._waiting) + (self._candidate is not None)

    def next_lo_hz(self) -> float | None:
        """Local oscillator of the next measurement [Hz], None when the search has ended."""
        if self._found is not None:
            return None
        if self._candidate is not None:
            return self._candidate.larmor_hz
        return self._waiting[0] if self._waiting else None

    def report(self, outcome: Frequency | Refusal) -> None:
        """Tell what the measurement at ``next_lo_hz()`` gave."""
        lo_hz = self.next_lo_hz()
        if lo_hz is None:
            raise ValueError("the search has ended")
        self._tried.append(lo_hz)
        candidate, self._candidate = self._candidate, None
        if candidate is None:
            self._waiting.pop(0)
        if candidate is not None and self._is_mirrored(candidate, outcome):
            self._refusals.insert(0, mirrored(candidate.larmor_hz))
        elif isinstance(outcome, Refusal):
            self._refusals.append(outcome)
            self._look_closer(outcome, lo_hz)
        elif not abs(outcome.larmor_hz - self._start_hz) <= self._span_hz + self._tolerance_hz:
            self._refusals.append(_outside(outcome, self._start_hz, self._span_hz))
        elif candidate is not None and self._agree(candidate, outcome):
            self._found = outcome
        elif candidate is None:
            self._candidate = outcome
        else:
            self._refusals.append(_disagree(candidate, outcome))

    def result(self) -> Frequency:
        """The frequency that was measured twice.

        Raises
        ------
        AcquisitionError
            When the search found none; says why and what to do.
        """
        if self._found is not None:
            return self._found
        low_mhz, high_mhz = (self._start_hz - self._span_hz) / 1e6, (self._start_hz + self._span_hz) / 1e6
        # The most telling of all refusals: that there was only noise elsewhere says nothing.
        telling = [refusal for refusal in self._refusals if refusal.doubt is not Doubt.NO_SIGNAL] or self._refusals
        if not telling:
            raise AcquisitionError("The frequency was not measured.", "Start the prescan again.")
        searched = (
            f"The frequency was not found between {low_mhz:.4f} and {high_mhz:.4f} MHz in {self.n_tries} measurements."
        )
        raise AcquisitionError(f"{searched} {telling[0].problem}", telling[0].remedy)

    def _agree(self, first: Frequency, second: Frequency) -> bool:
        doubt_hz = 3 * (first.sd_hz + second.sd_hz) + 0.1 * second.linewidth_hz
        return abs(first.larmor_hz - second.larmor_hz) <= self._tolerance_hz + doubt_hz

    def _is_mirrored(self, first: Frequency, second: Frequency | Refusal) -> bool:
        """Higher taken for lower: moving to where the line seems to be doubles its offset, whatever it looks like there."""
        return (
            abs(first.offset_hz) > 4 * self._tolerance_hz
            and abs(second.offset_hz - 2 * first.offset_hz) < self._tolerance_hz + 0.1 * first.linewidth_hz
        )

    def _look_closer(self, refusal: Refusal, lo_hz: float) -> None:
        """Go to a line at the edge of the band, and to one that changes from shot to shot.

        Far from resonance a refocusing pulse refocuses little; the echo's phase then follows the phase cycle and the line
        looks like interference. With the oscillator at its place it repeats, if it is the patient's.
        """
        beyond_hz = lo_hz + refusal.offset_hz
        is_new = all(abs(beyond_hz - tried_hz) > self._tolerance_hz for tried_hz in self._tried)
        is_allowed = self._allowed_hz[0] <= beyond_hz <= self._allowed_hz[1]
        is_near = abs(beyond_hz - self._start_hz) <= self._span_hz and is_allowed
        if refusal.doubt in {Doubt.EDGE, Doubt.UNSTEADY} and is_new and is_near:
            self._waiting.insert(0, beyond_hz)


def _outside(found: Frequency, start_hz: float, span_hz: float) -> Refusal:
    return Refusal(
        doubt=Doubt.EDGE,
        problem=f"A signal was found at {found.larmor_hz / 1e6:.4f} MHz, more than {span_hz / 1e3:.0f} kHz from "
        f"{start_hz / 1e6:.4f} MHz.",
        remedy="Check the magnet's temperature; if the field really has changed, set larmor_hz in the hardware file.",
    )


def mirrored(near_hz: float) -> Refusal:
    """What is said of a receiver that takes higher frequencies for lower ones."""
    return Refusal(
        doubt=Doubt.INVERTED,
        problem=f"The spectrum near {near_hz / 1e6:.4f} MHz is mirrored: the line moves with the oscillator.",
        remedy="The receiver's two parts, I and Q, are exchanged. Call service: images would be mirrored too.",
    )


def _disagree(first: Frequency, second: Frequency) -> Refusal:
    return Refusal(
        doubt=Doubt.UNSTEADY,
        problem=f"A signal at {first.larmor_hz / 1e6:.4f} MHz was at {second.larmor_hz / 1e6:.4f} MHz when measured again.",
        remedy="Switch off chargers near the scanner, let the magnet's temperature settle, then repeat the prescan.",
    )
