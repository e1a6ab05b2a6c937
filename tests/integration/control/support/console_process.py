# SPDX-License-Identifier: MIT
"""A virtual console in a process of its own, so that it can be killed and stopped: prints its port."""

import sys

from isocenter.domain.scanner import GradientBoard
from isocenter.virtual.console.server import VirtualConsoleServer

with VirtualConsoleServer(time_scale=1.0, board=GradientBoard(sys.argv[1])) as server:
    print(server.address[1], flush=True)
    sys.stdin.read()
