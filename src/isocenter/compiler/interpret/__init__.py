# SPDX-License-Identifier: MIT
"""Pulseq events to the console's event table."""

from isocenter.compiler.interpret.scan import compile_scan

__all__ = ["compile_scan"]
