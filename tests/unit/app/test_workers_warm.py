# SPDX-License-Identifier: MIT
"""What the worker does before anybody waits is enough: no protocol that follows compiles a loop."""

import functools
import multiprocessing
import subprocess
import sys
import time

from isocenter.app.workers import PreparationPool
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import nominal_calibration

SCRIPT = """
import gc
from numba.core.dispatcher import Dispatcher
from isocenter.app import workers
from isocenter.app.prepare import check
from isocenter.compiler.check.exposure import Situation
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.limits import Subject
from isocenter.domain.scan import Protocol
from isocenter.domain.scanner import nominal_calibration

def compiled():
    loops = [item for item in gc.get_objects() if isinstance(item, Dispatcher)]
    return {f"{item.py_func.__module__}.{item.py_func.__name__}": len(item.signatures) for item in loops}

workers._warm()
before = compiled()
assert before["isocenter.compiler.interpret.concomitant._follow_squares"] == 1, before
scanner = load_scanner("osii-one")
for name in ("tse_3d", "petra_3d", "epi_2d", "noise"):
    protocol, subject = Protocol(name="x", sequence=name), Subject(body_part="HEAD", weight_kg=70.0)
    answer = check(protocol, scanner, nominal_calibration(scanner), PatientPosition.HFS, Situation(subject=subject))
    assert answer.is_playable, (name, answer.problem)
print("late:", {name: n for name, n in compiled().items() if n > before.get(name, 0)})
"""


def test_after_the_warm_up_no_check_compiles_anything():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "late: {}"


def test_no_check_waits_for_what_reconstruction_compiles():
    before = set(multiprocessing.active_children())
    pool = PreparationPool(also=functools.partial(time.sleep, 600))
    try:
        pool.warm_up()
        scanner = load_scanner("osii-one")
        protocol = Protocol(name="x", sequence="noise")
        for _ in range(2):  # the second begins when the other process has
            answer = pool.check(protocol, scanner, nominal_calibration(scanner), PatientPosition.HFS).result(600)
            assert answer.is_playable, answer.problem
        assert "warm up" in [child.name for child in multiprocessing.active_children()]
    finally:
        began_s = time.monotonic()
        pool.close()
    assert time.monotonic() - began_s < 300, "the other process would sleep for twice as long"
    assert set(multiprocessing.active_children()) <= before
