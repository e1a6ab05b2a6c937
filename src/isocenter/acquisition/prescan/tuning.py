# SPDX-License-Identifier: MIT
"""Tuning and matching the coil with relays and a network analyser.

The setting that was good last time comes first. Is it not good any more, each further setting is the best one that a model
of network and coil predicts from all that was measured; when the model leads no further, neighbours of the best setting are
tried. The coil goes back to the scanner whatever happens, and when that cannot be confirmed nobody may scan.

Source
------
Reference domain.md 2, step 2: S11 at the scanner's frequency up to -20 dB passes, up to -12 dB with a warning, and the
minimum within a fifth of the coil's bandwidth.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.tuning_network import Codes, CoilFit, Measured, TunerNetwork
from isocenter.devices.roles import NetworkAnalyser, Reflection, Tuner
from isocenter.domain.errors import ConnectError, DeviceError, DeviceFault, DeviceTimeout, ProtocolError
from isocenter.domain.units import plain

PASS_DB: Final = -20.0
WARN_DB: Final = -12.0
MAX_SETTINGS: Final = 60
MAX_RESTARTS: Final = 3
POWER_DOWN_S: Final = 0.5
POWER_UP_S: Final = 0.5

_OFF_CENTRE: Final = 0.2  # of the bandwidth
_DIP_DB: Final = 1.0  # a resonance takes at least so much
_PROBES: Final[tuple[Codes, ...]] = (
    (1, 6, 6),
    (1, 1, 2),
    (1, 20, 4),
)  # short in series; tune and match small, middle, large
_MODEL_ROUNDS: Final = 25
_PATIENCE: Final = 8  # settings by the model without gain
_FIT_POINTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One setting that was tried.

    Attributes
    ----------
    codes
        Series, tune, match.
    s11_db
        At the scanner's frequency [dB].
    reflection
        The sweep, for the plot.
    """

    codes: Codes
    s11_db: float
    reflection: Reflection


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What tuning found.

    Attributes
    ----------
    verdict, problem, remedy
        For the operator; the problem is empty when it passes.
    codes
        The setting that is left switched in; None when nothing could be measured.
    s11_db
        At the scanner's frequency [dB].
    impedance_ohm
        At the scanner's frequency.
    minimum_hz, bandwidth_hz
        Of the resonance; NaN when it was not seen, or is wider than the sweep.
    trials
        All that was measured, in order.
    """

    verdict: Verdict
    problem: str = ""
    remedy: str = ""
    codes: Codes | None = None
    s11_db: float = float("nan")
    impedance_ohm: complex = complex("nan")
    minimum_hz: float = float("nan")
    bandwidth_hz: float = float("nan")
    trials: tuple[Trial, ...] = field(default=())


def tune_coil(
    tuner: Tuner,
    analyser: NetworkAnalyser,
    larmor_hz: float,
    *,
    last_good: Codes | None = None,
    network: TunerNetwork | None = None,
    on_trial: Callable[[Trial], None] = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
) -> Tuning:
    """Tune and match the coil to the scanner's frequency.

    Parameters
    ----------
    tuner, analyser
        The devices; each may be a stand-in that passes calls on to the thread of its line.
    larmor_hz
        Where S11 counts [Hz].
    last_good
        The setting that was good last time.
    network
        Capacitors of the tuner; those of the i3M one by default.
    on_trial
        Told of each setting as it is measured. May raise to stop; the coil goes back to the scanner then too.
    pause
        Waits while the analyser is off and while it starts, in seconds; may raise to stop.

    Raises
    ------
    DeviceFault
        The coil could not be confirmed to be back at the scanner. Nobody may scan.
    """
    search = _Search(tuner, analyser, larmor_hz, network or TunerNetwork(), on_trial, pause)
    try:
        result = search.run(last_good)
    except DeviceError as error:
        search.leave_best()
        result = Tuning(verdict=Verdict.FAIL, problem=error.problem, remedy=error.remedy, trials=tuple(search.trials))
    finally:
        _back_to_scanner(tuner)
    return result


def s11_at(reflection: Reflection, frequency_hz: float) -> complex:
    """Reflection between the points of a sweep."""
    real, imaginary = (
        np.interp(frequency_hz, reflection.frequency_hz, part) for part in (reflection.s11.real, reflection.s11.imag)
    )
    return complex(real, imaginary)


def impedance_ohm(s11: complex) -> complex:
    """Impedance that reflects so at 50 ohm."""
    return 50 * (1 + s11) / (1 - s11) if s11 != 1 else complex("inf")


def resonance(reflection: Reflection) -> tuple[float, float]:
    """Frequency of the smallest reflection and width at half of the power [Hz]; NaN for what the sweep does not show."""
    power, frequency_hz = np.abs(reflection.s11) ** 2, reflection.frequency_hz
    at = int(power.argmin())
    if not 0 < at < len(power) - 1 or -10 * np.log10(max(power[at], 1e-12)) < _DIP_DB:
        return float("nan"), float("nan")
    curve = np.polyfit(frequency_hz[at - 1 : at + 2] - frequency_hz[at], power[at - 1 : at + 2], 2)
    minimum_hz = float(frequency_hz[at] - curve[1] / (2 * curve[0])) if curve[0] > 0 else float(frequency_hz[at])
    below, above = np.flatnonzero(power[:at] >= 0.5), np.flatnonzero(power[at:] >= 0.5)
    if not len(below) or not len(above):
        return minimum_hz, float("nan")
    return minimum_hz, float(frequency_hz[at + above[0]] - frequency_hz[below[-1]])


def _back_to_scanner(tuner: Tuner) -> None:
    problem = "The coil may still be connected to the network analyser instead of the scanner."
    remedy = "Do not scan. Switch the coil tuner off and on, connect it again, then repeat the tuning."
    for attempt in (1, 2):
        try:
            tuner.connect_analyser(False)
        except ConnectError as error:  # its line was closed: the relays stay as they are until somebody opens it
            try:
                tuner.open()
            except DeviceError as again:
                raise DeviceFault(f"{problem} {again.problem}", remedy) from error
        except DeviceError as error:
            if attempt == 2:
                raise DeviceFault(f"{problem} {error.problem}", remedy) from error
        else:
            return
    raise DeviceFault(problem, remedy)


class _Search:
    """One tuning."""

    def __init__(
        self,
        tuner: Tuner,
        analyser: NetworkAnalyser,
        larmor_hz: float,
        network: TunerNetwork,
        on_trial: Callable[[Trial], None],
        pause: Callable[[float], None],
    ) -> None:
        self._tuner, self._analyser, self._larmor_hz = tuner, analyser, larmor_hz
        self._network, self._on_trial, self._pause = network, on_trial, pause
        self._fit = CoilFit(network, larmor_hz)
        self._n_restarts = 0
        self._n_settings = 0
        self.trials: list[Trial] = []

    def run(self, last_good: Codes | None) -> Tuning:
        first = last_good or _PROBES[0]
        self._tuner.set_capacitors(*first)
        self._start_analyser()
        if self._measure(first).s11_db > PASS_DB:
            if not self._sees_coil(first):
                return self._no_coil()
            self._by_model()
            self._by_neighbours()
        best = self._best()
        return self._judge(best if best is self.trials[-1] else self._measure(best.codes))

    def leave_best(self) -> None:
        """After a failure: the best setting that was seen, if the tuner still obeys."""
        if self.trials:
            with contextlib.suppress(DeviceError):  # whoever switches the coil back will find out
                self._tuner.set_capacitors(*self._best().codes)

    @property
    def _is_done(self) -> bool:
        return self._best().s11_db <= PASS_DB or self._n_settings >= MAX_SETTINGS

    def _best(self) -> Trial:
        return min(self.trials, key=lambda trial: trial.s11_db)

    def _by_model(self) -> None:
        """Go where the model says, learn from what is found there."""
        tried = {trial.codes for trial in self.trials}
        best_db, n_without_gain = self._best().s11_db, 0
        for _ in range(_MODEL_ROUNDS):
            if self._is_done or n_without_gain >= _PATIENCE:
                return
            self._fit.learn([self._thinned(trial) for trial in self.trials])
            settings, magnitude = self._fit.predict()
            order = (settings[at] for at in np.argsort(magnitude))
            codes = next((one for one in order if one not in tried), None)
            if codes is None:
                return
            tried.add(codes)
            s11_db = self._measure(codes).s11_db
            n_without_gain = 0 if s11_db < best_db else n_without_gain + 1
            best_db = min(best_db, s11_db)

    def _by_neighbours(self) -> None:
        """Walk downhill, one bank at a time."""
        tried = {trial.codes for trial in self.trials}
        while not self._is_done:
            here = self._best()
            codes = next((one for one in self._network.neighbours(here.codes) if one not in tried), None)
            if codes is None:
                return
            tried.add(codes)
            self._measure(codes)

    def _thinned(self, trial: Trial) -> Measured:
        points = np.linspace(0, len(trial.reflection.s11) - 1, _FIT_POINTS).round().astype(int)
        return Measured(
            codes=trial.codes,
            frequency_hz=trial.reflection.frequency_hz[points],
            s11=trial.reflection.s11[points],
        )

    def _sees_coil(self, first: Codes) -> bool:
        """Whether any setting shows a resonance; with nothing plugged in, all comes back at all frequencies."""
        for codes in dict.fromkeys((first, *_PROBES)):
            if codes != first:
                self._measure(codes)
            if np.isfinite(_dip_hz(self._wide_sweep())):
                return True
        return False

    def _wide_sweep(self) -> Reflection:
        return self._sweep(0.45 * self._larmor_hz, 1.9 * self._larmor_hz, 201)

    def _measure(self, codes: Codes) -> Trial:
        self._tuner.set_capacitors(*codes)
        self._n_settings += 1
        half_hz = max(50e3, 0.05 * self._larmor_hz)
        reflection = self._sweep(self._larmor_hz - half_hz, self._larmor_hz + half_hz, 101)
        s11_db = 20 * float(np.log10(max(abs(s11_at(reflection, self._larmor_hz)), 1e-6)))
        trial = Trial(codes=codes, s11_db=s11_db, reflection=reflection)
        self.trials.append(trial)
        self._on_trial(trial)
        return trial

    def _sweep(self, start_hz: float, stop_hz: float, n_points: int) -> Reflection:
        while True:
            try:
                return self._analyser.sweep(start_hz, stop_hz, n_points)
            except (ConnectError, DeviceTimeout, ProtocolError) as error:
                self._restart(error)

    def _start_analyser(self) -> None:
        """The relays that give it the coil may also give it its power."""
        self._tuner.connect_analyser(True)
        try:
            self._analyser.open()
        except DeviceError as error:
            self._restart(error)

    def _restart(self, error: DeviceError) -> None:
        while True:
            self._n_restarts += 1
            if self._n_restarts > MAX_RESTARTS:
                raise error
            self._tuner.connect_analyser(False)
            self._pause(POWER_DOWN_S)
            self._tuner.connect_analyser(True)
            self._pause(POWER_UP_S)
            try:
                self._analyser.open()
            except DeviceError as again:
                error = again
            else:
                return

    def _no_coil(self) -> Tuning:
        return Tuning(
            verdict=Verdict.FAIL,
            problem="No coil is seen: everything comes back at every frequency and setting.",
            remedy="Push the coil's plug in until it locks. If it is in, check its cable, or try another coil.",
            codes=self._best().codes,
            s11_db=self._best().s11_db,
            trials=tuple(self.trials),
        )

    def _judge(self, trial: Trial) -> Tuning:
        minimum_hz, bandwidth_hz = resonance(trial.reflection)
        if trial.s11_db > WARN_DB and np.isnan(minimum_hz):
            minimum_hz = _dip_hz(self._wide_sweep())
        verdict, problem, remedy = self._verdict(trial, minimum_hz, bandwidth_hz)
        return Tuning(
            verdict=verdict,
            problem=problem,
            remedy=remedy,
            codes=trial.codes,
            s11_db=trial.s11_db,
            impedance_ohm=impedance_ohm(s11_at(trial.reflection, self._larmor_hz)),
            minimum_hz=minimum_hz,
            bandwidth_hz=bandwidth_hz,
            trials=tuple(self.trials),
        )

    def _verdict(self, trial: Trial, minimum_hz: float, bandwidth_hz: float) -> tuple[Verdict, str, str]:
        share = f"{100 * 10 ** (trial.s11_db / 10):.0f} % of the power comes back (S11 {plain(trial.s11_db, 1)} dB)"
        span_hz = float(np.ptp(trial.reflection.frequency_hz))
        width_hz = bandwidth_hz if np.isfinite(bandwidth_hz) else span_hz
        is_centred = abs(minimum_hz - self._larmor_hz) <= _OFF_CENTRE * width_hz  # False for NaN too
        if trial.s11_db <= PASS_DB and is_centred:
            return Verdict.PASS, "", ""
        if trial.s11_db <= PASS_DB:
            return (
                Verdict.WARN,
                f"The coil is matched, but resonates at {minimum_hz / 1e6:.3f} MHz, not {self._larmor_hz / 1e6:.3f} MHz.",
                "Check that the right coil is plugged in and that no metal or hand is near it, then repeat.",
            )
        if trial.s11_db <= WARN_DB:
            return (
                Verdict.WARN,
                f"The coil is not matched well: {share}.",
                "You can scan, with a little less signal. For more, put the patient in the middle of the coil and repeat.",
            )
        return (
            Verdict.FAIL,
            f"The coil cannot be matched at {self._larmor_hz / 1e6:.3f} MHz: {share}"
            + (f"; it resonates at {minimum_hz / 1e6:.3f} MHz." if np.isfinite(minimum_hz) else "."),
            "Check that the right coil is plugged in fully, that the patient or phantom is inside it, and that no metal, "
            "wet cloth or cable touches it. Then repeat.",
        )


def _dip_hz(reflection: Reflection) -> float:
    """Where most power stays: a resonance, however badly matched. NaN when nothing sticks out."""
    level_db = 20 * np.log10(np.maximum(np.abs(reflection.s11), 1e-6))
    if np.median(level_db) - level_db.min() < _DIP_DB:
        return float("nan")
    return float(reflection.frequency_hz[level_db.argmin()])
