# SPDX-License-Identifier: MIT
"""Reading Pulseq files, column by column."""

from isocenter.compiler.pulseq.reader import read_pulseq

__all__ = ["read_pulseq"]
