# SPDX-License-Identifier: MIT
"""The program that scans, in a process of its own, so that it can be killed and stopped: scans until somebody ends it.

Reads one line of JSON: where the console and the boxes are, and where to write.
"""

import json
import sys
import threading
from dataclasses import replace
from pathlib import Path

from tests.integration.control.conftest import Scene, make_session

from isocenter.config.hardware import load_scanner
from isocenter.domain.device import DeviceLink, DeviceRole


def main() -> None:
    said = json.loads(sys.stdin.readline())
    scanner = load_scanner("osii-one")
    links = tuple(DeviceLink(**(link | {"role": DeviceRole(link["role"])})) for link in said["links"])
    console = replace(scanner.console, host=said["host"], port=said["port"])
    session = make_session(replace(scanner, console=console, devices=links))
    scene = Scene(session, None, None, Path(said["out"]))
    scene.prepared = scene.prepare()
    print("ready", flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), session.stop("the test"))).start()
    while True:
        scene.measure()


main()
