# SPDX-License-Identifier: MIT
"""Pulseq events to the console's event table."""
