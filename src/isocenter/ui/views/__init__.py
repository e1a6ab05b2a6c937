# SPDX-License-Identifier: MIT
"""Places and sheets: widgets and layout, no state of their own."""
