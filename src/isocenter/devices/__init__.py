# SPDX-License-Identifier: MIT
"""Drivers: the console and everything else on a wire."""
