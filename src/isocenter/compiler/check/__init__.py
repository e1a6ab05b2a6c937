# SPDX-License-Identifier: MIT
"""The last gate: a compiled scan against the scanner's limits."""

from isocenter.compiler.check.gate import check_scan
from isocenter.compiler.check.report import Finding, SafetyReport

__all__ = ["Finding", "SafetyReport", "check_scan"]
