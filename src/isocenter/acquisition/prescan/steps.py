# SPDX-License-Identifier: MIT
"""The steps of a clinical prescan, in order.

Source
------
Reference domain.md 2: order and time of a prescan that takes two and a half minutes at most.
"""

from isocenter.acquisition.prescan.contract import Step
from isocenter.acquisition.prescan.step_frequency import CoarseFrequency, FineFrequency
from isocenter.acquisition.prescan.step_receive import GainStep, NoiseStep
from isocenter.acquisition.prescan.step_shim import ShimStep
from isocenter.acquisition.prescan.step_transmit import PowerStep, TuneStep
from isocenter.domain.scanner import Scanner


def clinical_steps(scanner: Scanner) -> tuple[Step, ...]:  # noqa: ARG001  steps without their device skip themselves
    """What the one button runs; after each step its values are taken into use before the next starts."""
    return (
        NoiseStep(),
        TuneStep(),
        CoarseFrequency(),
        FineFrequency(),
        GainStep(),
        PowerStep(),
        ShimStep(),
        FineFrequency(is_final=True),
    )
