# SPDX-License-Identifier: MIT
"""The gradient board's own currents, as a service step."""

import numpy as np

from isocenter.acquisition.prescan.contract import Bench, Curve, Plot, StepResult, Tell, Verdict
from isocenter.acquisition.prescan.service.base import ServiceStep, calibrated
from isocenter.domain.calibration import Quantity
from isocenter.domain.currents import MAX_RESIDUAL, BoardCurrents
from isocenter.domain.errors import AcquisitionError
from isocenter.domain.units import signed


class GradientCurrentsStep(ServiceStep):
    """Calibrates the currents of a board that can be read; nothing may be in the scanner that a gradient could hurt."""

    name = "gradient_currents"
    title = "Gradient currents"

    def why_skip(self, bench: Bench) -> str:
        """A board without read-back cannot be calibrated."""
        return "this gradient board's currents cannot be read back" if bench.calibrate_currents is None else ""

    def _run(self, bench: Bench, tell: Tell) -> StepResult:
        del tell
        if bench.calibrate_currents is None:
            raise AcquisitionError(
                "The gradient board cannot be read back, so its currents cannot be calibrated.",
                "Measure the gradients' strength with a phantom instead.",
            )
        currents = bench.calibrate_currents()
        value = [coefficient for fit in currents.channels for coefficient in fit.coefficients]
        sd = [fit.residual_share for fit in currents.channels for _ in fit.coefficients]
        said = "; ".join(
            f"{name} {fit.slope:.3f} times, {signed(fit.offset_share * currents.full_scale_a * 1e3)} mA at zero, scatter "
            f"{fit.residual_share * 100:.2f} %"
            for name, fit in zip("xyz", currents.channels, strict=True)
        )
        is_rough = any(fit.residual_share > MAX_RESIDUAL / 2 for fit in currents.channels)
        return self._result(
            f"Current over what was asked, before correction: {said}.",
            verdict=Verdict.WARN if is_rough else Verdict.PASS,
            remedy="A channel scatters more than usual: let the board warm up, then repeat." if is_rough else "",
            values=(calibrated(bench, Quantity.GRADIENT_CURRENTS, tuple(value), tuple(sd), None),),
            plots=(_plot(currents),),
        )


def _plot(currents: BoardCurrents) -> Plot:
    wanted = np.linspace(-0.5, 0.5, 41)
    curves = []
    for name, fit in zip("xyz", currents.channels, strict=True):
        asked = np.polynomial.polynomial.polyval(wanted, np.array(fit.coefficients))
        wanted_a = wanted * currents.full_scale_a
        curves.append(Curve(label=name, x=wanted_a, y=1e3 * (asked - wanted) * currents.full_scale_a))
    return Plot(
        title="Correction of the currents", x_label="Wanted current [A]", y_label="To be added [mA]", curves=tuple(curves)
    )
