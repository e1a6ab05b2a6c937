# SPDX-License-Identifier: MIT
"""Reading Pulseq files, column by column."""
