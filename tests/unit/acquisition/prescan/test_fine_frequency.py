# SPDX-License-Identifier: MIT
"""The fine frequency of objects that hardly decay while they are read, and of tones that only look like them."""

from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.step_frequency import FineFrequency
from isocenter.config.hardware import load_scanner
from isocenter.domain.scanner import nominal_calibration

OFFSET_HZ = 137.0


class Bench:
    """Echoes of one tube in an even field with hardly any noise; ``follows`` says whether they turn with the pulses."""

    temperature_c, subject = 25.0, "exam-1"

    def __init__(self, t2_s, *, follows=True):
        self.scanner = load_scanner("physio-72mT")
        self.calibration = replace(nominal_calibration(self.scanner), measured_at="2026-01-01T00:00:00+00:00")
        self.cancel, self.t2_s, self.follows, self.averages = Event(), t2_s, follows, []
        self._random = np.random.default_rng(7)

    def held(self, quantity):
        return None

    def now_s(self):
        return 1.7e9

    def measure(self, protocol, calibration):
        values = protocol.parameters
        n, dwell_s = values["n_samples"], 1 / values["bandwidth_hz"]
        self.averages.append(values["averages"])
        t = (np.arange(n) - n // 2) * dwell_s
        offset_hz = self.scanner.magnet.larmor_hz + OFFSET_HZ - calibration.larmor_hz
        echo = 0.05 * np.exp(2j * np.pi * offset_hz * t - (values["te_s"] + t) / self.t2_s)
        turns = np.ones(values["averages"]) if self.follows else np.exp(2j * np.pi * self._random.random(values["averages"]))
        noise = self._random.normal(size=(2, len(turns), n)) * 1e-6
        samples = (turns[:, None] * echo + noise[0] + 1j * noise[1]).astype(np.complex64)[:, None]
        raw = SimpleNamespace(
            samples=samples, dwell_s=dwell_s, lo_hz=calibration.larmor_hz, definitions={"PhaseCycle": "0 180"}
        )
        return raw, Path("a")


@pytest.mark.parametrize("t2_s", [0.1, 0.3, 1.0, 2.0])
def test_a_bottle_of_water_in_an_even_field_is_found(t2_s):
    bench = Bench(t2_s)
    result = FineFrequency().run(bench, lambda _: None)
    assert result.verdict is Verdict.PASS, result.text
    assert result.values[0].value[0] == pytest.approx(bench.scanner.magnet.larmor_hz + OFFSET_HZ, abs=1.0)
    assert max(bench.averages) == (2 if t2_s == 0.1 else 4)


def test_a_tone_that_does_not_follow_the_pulses_is_still_refused():
    result = FineFrequency().run(Bench(1e3, follows=False), lambda _: None)
    assert result.verdict is Verdict.FAIL
    assert "does not decay" in result.text or "No signal" in result.text, result.text
    assert result.values == ()
