# SPDX-License-Identifier: MIT
"""The command line. Prints and exits; everything it does is in app."""
