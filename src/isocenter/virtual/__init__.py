# SPDX-License-Identifier: MIT
"""The virtual scanner: a console server, its timing, and the physics behind it."""
