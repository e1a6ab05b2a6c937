# SPDX-License-Identifier: MIT
"""The gradient board's currents as a step: what was found is told and kept, what cannot be trusted is not."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from isocenter.acquisition.prescan.contract import Verdict
from isocenter.acquisition.prescan.service import GradientCurrentsStep
from isocenter.config.hardware import load_scanner
from isocenter.domain.calibration import Quantity
from isocenter.domain.currents import BoardCurrents, fit_channel
from isocenter.domain.errors import ScanAborted


@dataclass
class BenchWithBoard:
    """As much of a bench as this step uses."""

    calibrate_currents: object
    scanner: object = field(default_factory=lambda: load_scanner("osii-one"))
    temperature_c: float = 24.5

    def now_s(self):
        return 1.7e9


def board(slope=1.02, offset=0.004, noise=0.0):
    asked = np.linspace(-0.5, 0.5, 20)
    rng = np.random.default_rng(2)
    fits = [fit_channel(name, asked, offset + slope * asked + rng.normal(0, noise, 20)) for name in "xyz"]
    return BoardCurrents(channels=tuple(fits), full_scale_a=10.0)


def test_a_calibration_is_kept_with_its_conditions():
    told = []
    result = GradientCurrentsStep().run(BenchWithBoard(board), told.append)
    assert result.verdict is Verdict.PASS
    (value,) = result.values
    assert value.quantity is Quantity.GRADIENT_CURRENTS
    assert (len(value.value), value.measured_at_s, value.temperature_c) == (12, 1.7e9, 24.5)
    assert value.value[1] == pytest.approx(1 / 1.02, rel=1e-6)
    assert "x 1.020 times, +40 mA at zero" in result.text
    assert told[0].verdict is None
    (plot,) = result.plots
    at_top = plot.curves[0].y[-1]
    assert at_top == pytest.approx(1e3 * 10 * ((0.5 - 0.004) / 1.02 - 0.5), rel=1e-6)


def test_a_channel_that_does_not_follow_is_refused():
    result = GradientCurrentsStep().run(BenchWithBoard(lambda: board(slope=0.8)), lambda _: None)
    assert result.verdict is Verdict.FAIL
    assert not result.values
    assert "0.80 times the current" in result.text
    assert "old calibration stays" in result.remedy


def test_a_channel_that_scatters_is_warned_of():
    result = GradientCurrentsStep().run(BenchWithBoard(lambda: board(noise=0.004)), lambda _: None)
    assert result.verdict is Verdict.WARN
    assert "scatters" in result.remedy


def test_stop_is_not_a_result():
    def stopped():
        raise ScanAborted("Stopped.", "Start again.")

    with pytest.raises(ScanAborted):
        GradientCurrentsStep().run(BenchWithBoard(stopped), lambda _: None)


def test_a_board_without_reading_is_skipped_with_its_reason():
    assert "cannot be read back" in GradientCurrentsStep().why_skip(BenchWithBoard(None))
    assert GradientCurrentsStep().why_skip(BenchWithBoard(board)) == ""
