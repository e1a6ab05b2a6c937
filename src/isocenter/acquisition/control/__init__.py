# SPDX-License-Identifier: MIT
"""The scanner under control: states, devices on lines, faults and the stop."""
