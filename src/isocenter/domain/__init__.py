# SPDX-License-Identifier: MIT
"""Values every layer shares: units, errors, geometry, event tables, readouts, volumes. numpy and stdlib only."""
