# SPDX-License-Identifier: MIT
"""The last gate: a compiled scan against the scanner's limits."""
