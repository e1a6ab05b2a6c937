# SPDX-License-Identifier: MIT
"""Everything that numba compiles for a virtual scan is compiled before the scanner says that it is ready."""

import subprocess
import sys

SCRIPT = """
import gc, sys, tempfile
from pathlib import Path
from threading import Event
from numba.core.dispatcher import Dispatcher
from isocenter.app import virtual_scanner as app
from isocenter.app.prepare import prepare
from isocenter.app.session import ScannerSession
from isocenter.app.warm_up import warm_up
from dataclasses import replace
from isocenter.config.hardware import load_scanner
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scan import Prescription, Protocol

def compiled():
    found = {}
    for item in gc.get_objects():
        if isinstance(item, Dispatcher) and item.py_func.__module__.startswith("isocenter.virtual"):
            found[f"{item.py_func.__module__}.{item.py_func.__name__}"] = len(item.signatures)
    return found

scanner = load_scanner("osii-one")
setup = app.VirtualSetup(scenario=sys.argv[1], n_spins=500)
warm_up(scanner, app.scenario_of(setup))
before = compiled()
sizes = {"n_read": 16, "n_phase": 8, "n_slab": 2, "echo_train_length": 4}
protocol = Protocol(name="x", sequence="tse_3d", parameters=sizes, prescription=Prescription())
prepared_for = prepare(protocol, scanner, ScannerSession(scanner, is_virtual=True).calibration, PatientPosition.HFS)
with app.serve(scanner, setup, "127.0.0.1", 0) as served, tempfile.TemporaryDirectory() as folder:
    link = replace(scanner.console, host=served.host, port=served.port)
    session = ScannerSession(replace(scanner, console=link), is_virtual=True, pace="none")
    session.connect()
    session.measure(prepared_for, None, Path(folder), cancel=Event())
    session.close()
after = compiled()
new = {name: (before.get(name, 0), n) for name, n in after.items() if n > before.get(name, 0)}
print("compiled late:", new)
"""


def test_nothing_is_compiled_once_the_virtual_scanner_is_ready():
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, "osii-one-brain"], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "compiled late: {}"
