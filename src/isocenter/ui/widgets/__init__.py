# SPDX-License-Identifier: MIT
"""Pieces that several views use."""
