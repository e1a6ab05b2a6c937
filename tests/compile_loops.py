# SPDX-License-Identifier: MIT
"""Compiles the loops that tests use, once, before several processes would each do it, some of them against a deadline.

``python tests/compile_loops.py images`` or ``simulation``: each takes half a minute of a processor on a new clone and a
second afterwards.
"""

import sys

from isocenter.app import workers
from isocenter.app.warm_up import warm_up
from isocenter.config.hardware import list_scanners, load_scanner
from isocenter.virtual.physics.scenario import find_scenario


def simulation() -> None:
    """What checks a sequence, and what plays it."""
    workers._warm()
    for name in list_scanners():
        warm_up(load_scanner(name), find_scenario("ideal-block"))


PARTS = {"images": workers._warm_reconstruction, "simulation": simulation}

for part in sys.argv[1:]:
    PARTS[part]()
