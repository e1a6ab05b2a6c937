# SPDX-License-Identifier: MIT
"""A MaRCoS server in software: protocol, instruction decoder, timing."""
