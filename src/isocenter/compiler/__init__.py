# SPDX-License-Identifier: MIT
"""Pulseq to event tables, and the last gate before the wire."""
