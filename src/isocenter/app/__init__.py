# SPDX-License-Identifier: MIT
"""The composition root: builds a scanner, runs jobs, serves the command line and the window."""
