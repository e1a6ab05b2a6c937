# SPDX-License-Identifier: MIT
"""Playing a compiled scan: the runner, its state machine, prescan."""
