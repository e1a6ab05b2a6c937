# SPDX-License-Identifier: MIT
"""The reference Arduino controller, compiled for this computer, as a device on a virtual line."""

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from isocenter.virtual.peripherals.lines import Reply
from isocenter.virtual.peripherals.plant import Plant, PlantState

ROOT = Path(__file__).parents[3]
SKETCH = ROOT / "docs" / "arduino" / "isocenter_line"


@cache
def controller_program() -> Path:
    """Compile it once. Skips the test where there is no compiler."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("needs a C++ compiler (g++)")
    folder = tempfile.mkdtemp(prefix="isocenter-sketch-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = Path(folder) / "controller"
    source = Path(__file__).with_name("sketch_host.cpp")
    strict = ["-std=c++11", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fsanitize=undefined,address"]
    subprocess.run([compiler, *strict, f"-I{SKETCH}", str(source), "-o", str(program)], check=True)
    return program


def _inputs(state: PlantState) -> str:
    def degrees(value: float | None) -> int:
        return 32767 if value is None else round(100 * value)

    inputs = {
        "estop": state.emergency_stop,
        "door": state.door_open,
        "gpa_fault": state.gradient_amplifier_fault,
        "gpa_hot": state.gradient_amplifier_hot,
        "rf_fault": state.rf_amplifier_fault,
        "ups": state.on_battery,
        "ups_charge": round(100 * state.battery_share),
        "t_magnet": degrees(state.magnet_c),
        "t_room": degrees(state.room_c),
        "t_gpa": degrees(state.gradient_amplifier_c),
    }
    return "".join(f"{key} {int(value)}\n" for key, value in inputs.items())


class SketchDevice:
    """A process with the sketch's core in real time; the plant is wired to its pins."""

    def __init__(self, plant: Plant, *arguments: str) -> None:
        self._plant, self._told = plant, None
        control, self._control = os.pipe()
        self._status, status = os.pipe()
        self._process = subprocess.Popen(
            [str(controller_program()), str(control), str(status), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(control, status),
        )
        os.close(control)
        os.close(status)
        for descriptor in (self._status, self._process.stdout.fileno()):
            os.set_blocking(descriptor, False)
        self._wire()
        plant.change("sketch", interlock_blanks_rf=True, interlock_parks_gradients=True)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait(5)
        self._process.stdin.close()
        self._process.stdout.close()
        os.close(self._control)
        os.close(self._status)

    def feed(self, data: bytes) -> Sequence[Reply]:
        """Pass bytes on; answers come with the next tick."""
        self._wire()
        self._process.stdin.write(data)
        self._process.stdin.flush()
        return ()

    def tick(self) -> Sequence[Reply]:
        """Pins to the plant and back, and what it has said."""
        self._wire()
        said = self._process.stdout.read()
        return [Reply(data=said)] if said else []

    def _wire(self) -> None:
        state = self._plant.state
        inputs = _inputs(state)
        if inputs != self._told:
            self._told = inputs
            os.write(self._control, inputs.encode())
        try:
            told = os.read(self._status, 4096).decode().split()
        except BlockingIOError:
            return
        if told:
            released = told[-1] == "1"
            self._plant.change("sketch", interlock_blanks_rf=not released, interlock_parks_gradients=not released)
