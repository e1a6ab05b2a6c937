# SPDX-License-Identifier: MIT
"""The MaRCoS console: instruction words, wire protocol, driver."""
