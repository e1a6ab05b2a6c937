# SPDX-License-Identifier: MIT
"""The last gate: a compiled scan against the scanner's limits."""

from isocenter.compiler.check.exposure import live_exposures, predicted_exposures, raise_if_over
from isocenter.compiler.check.gate import check_scan
from isocenter.compiler.check.patient import allowed_forward_power_w, measured_exposures
from isocenter.compiler.check.report import Advice, Finding, SafetyReport

__all__ = [
    "Advice",
    "Finding",
    "SafetyReport",
    "allowed_forward_power_w",
    "check_scan",
    "live_exposures",
    "measured_exposures",
    "predicted_exposures",
    "raise_if_over",
]
