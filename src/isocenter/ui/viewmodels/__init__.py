# SPDX-License-Identifier: MIT
"""What the window shows and does, without a window: QObjects on QtCore alone."""
