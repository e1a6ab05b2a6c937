# SPDX-License-Identifier: MIT
"""A virtual scanner of our own, in a process beside this one.

It listens on this machine only and ends with the process that started it. A process, not a thread: its simulation would
otherwise compete with the window for the interpreter.
"""

import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, NamedTuple

from isocenter.app.virtual_process import VirtualProcess, beat
from isocenter.domain.device import DeviceLink
from isocenter.domain.errors import ConnectError, ConsoleError, ScanAborted
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scanner import Scanner

if TYPE_CHECKING:
    from isocenter.domain.scenario import Scenario
    from isocenter.virtual.peripherals.boxes import VirtualBoxes

_START_TIMEOUT_S = 300.0  # the first start on a machine compiles the simulation
_STOP_TIMEOUT_S = 5.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualSetup:
    """What lies in the virtual scanner, and how it behaves.

    Attributes
    ----------
    scenario
        Name of a scenario or path of its file; it says which phantom lies in which field.
    phantom
        Name of a phantom, empty for the scenario's own.
    position
        How the phantom lies; None for the scenario's own.
    n_spins
        Spins to simulate, 0 for the scenario's own number.
    has_noise
        False switches the noise of the receive chain off.
    seed
        Makes everything random repeatable; 0 for the scenario's own.
    time_scale
        1 plays as slowly as a real scanner, 0 as fast as this machine can.
    has_devices
        All boxes on lines of their own, whatever scenario and hardware file say; then nothing comes out of the amplifiers
        before a program has switched them on.
    """

    scenario: str = "osii-one-brain"
    phantom: str = ""
    position: PatientPosition | None = None
    n_spins: int = 0
    has_noise: bool = True
    seed: int = 0
    time_scale: float = 0.0
    has_devices: bool = False


class Served(NamedTuple):
    """A virtual scanner that listens.

    Attributes
    ----------
    host, port
        Of its console.
    devices
        Its boxes, with the addresses of their lines; empty when it has none.
    boxes
        The same in this process, to look at and to spoil; None when it has none.
    """

    host: str
    port: int
    devices: tuple[DeviceLink, ...]
    boxes: "VirtualBoxes | None"


@contextlib.contextmanager
def virtual_scanner(scanner: Scanner, setup: VirtualSetup, cancel: threading.Event | None = None) -> Iterator[Scanner]:
    """Run a virtual scanner; yields the scanner with the address at which it listens.

    Where the scenario has sensors of interference, the first is connected to the console's second input.

    Parameters
    ----------
    scanner, setup
        Which one, and what lies in it.
    cancel
        Set while it starts, gives up.

    Raises
    ------
    ConnectError
        It did not start.
    ScanAborted
        It was given up.
    """
    scanner = _with_sensor(scanner, setup.scenario)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve_child, args=(scanner, setup, theirs), name="virtual-scanner", daemon=True)
    process.start()
    theirs.close()
    try:
        host, port, devices = _wait_for_address(ours, cancel or threading.Event())
        watched = VirtualProcess(process, ours, (host, port))
        watched.begin()
        try:
            yield replace(scanner, console=replace(scanner.console, host=host, port=port), devices=devices)
        finally:
            watched.end()
    finally:
        ours.close()  # which the child notices, also when this process dies
        if cancel is not None and cancel.is_set():
            process.terminate()  # while it starts it notices nothing
        process.join(_STOP_TIMEOUT_S)
        for end in (process.terminate, process.kill):  # one that was stopped hears nothing but the last
            if process.is_alive():
                end()
                process.join(_STOP_TIMEOUT_S)
        process.close()


def _with_sensor(scanner: Scanner, scenario: str) -> Scanner:
    from isocenter.config.scenarios import load_scenario

    n_sensors = max(scanner.receiver.n_sensors, min(load_scenario(scenario).n_sensors, 1))
    return replace(scanner, receiver=replace(scanner.receiver, n_sensors=n_sensors))


def serve(scanner: Scanner, setup: VirtualSetup, host: str, port: int) -> "contextlib.AbstractContextManager[Served]":
    """A virtual scanner in this process, for ``isocenter virtual-scanner``; the context gives its addresses."""
    return _server(scanner, setup, host, port)


def _wait_for_address(ours: Connection, cancel: threading.Event) -> "tuple[str, int, tuple[DeviceLink, ...]]":
    end_s = time.monotonic() + _START_TIMEOUT_S
    try:
        while time.monotonic() < end_s:
            if cancel.is_set():
                raise ScanAborted("The virtual scanner was not started.", "Choose a scenario again when you want one.")
            if not ours.poll(_LOOK_EVERY_S):
                continue
            answer = ours.recv()
            if isinstance(answer, ConsoleError):
                raise answer
            host, port, devices = answer
            return str(host), int(port), devices
    except EOFError:
        pass
    raise ConnectError("The virtual scanner did not start.", "Run `isocenter doctor`; its output says what is missing.")


def _serve_child(scanner: Scanner, setup: VirtualSetup, theirs: Connection) -> None:
    # Ctrl-C, and a terminal that closes, reach the whole group; the parent decides when this ends.
    for number in (signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError, EOFError), contextlib.ExitStack() as stack:  # the parent may be gone at any time
        try:
            served = stack.enter_context(_server(scanner, setup, "127.0.0.1", 0))
        except ConsoleError as error:
            theirs.send(error)
            return
        theirs.send(served[:3])
        is_ended = threading.Event()
        beats = threading.Thread(target=beat, args=(theirs, is_ended), name="beat", daemon=True)
        beats.start()
        try:
            theirs.recv()  # nothing is ever sent: this ends when the parent goes away
        finally:
            is_ended.set()
            beats.join()


@contextlib.contextmanager
def _server(scanner: Scanner, setup: VirtualSetup, host: str, port: int) -> Iterator[Served]:
    # Imported here, in the process that simulates: it takes a second that the window does not have.
    from isocenter.app.warm_up import warm_up
    from isocenter.virtual.console.server import VirtualConsoleServer
    from isocenter.virtual.peripherals.boxes import EVERYTHING, VirtualBoxes
    from isocenter.virtual.peripherals.story import Story
    from isocenter.virtual.physics.model import BlochSignalModel
    from isocenter.virtual.physics.plant_model import PlantSignalModel

    scenario = scenario_of(setup)
    warm_up(scanner, scenario)
    model, boxes, story = BlochSignalModel(scanner, scenario), None, None
    has_devices = bool(scanner.devices) or setup.has_devices or scenario.devices.is_connected
    with contextlib.ExitStack() as stack:
        if has_devices:
            is_real_time = setup.time_scale == 1.0
            links = scanner.devices or EVERYTHING
            boxes = stack.enter_context(VirtualBoxes(model.larmor_hz, links, is_real_time=is_real_time))
            story = Story(boxes, scenario.devices.events)
            stack.callback(story.end)
        plant = PlantSignalModel(model, scanner, scenario, boxes, story.begin if story else lambda: None)
        server = VirtualConsoleServer(
            host,
            port,
            signal_model=plant,
            time_scale=setup.time_scale,
            board=scanner.gradients.board,
            segment_gap_s=scanner.console.segment_gap_s,
        )
        server.on_end = plant.ended
        server.machine.cores.set_board(scenario.devices.board_gain, scenario.devices.board_offset)
        stack.enter_context(server)
        yield Served(*server.address, boxes.links if boxes else (), boxes)


def scenario_of(setup: VirtualSetup) -> "Scenario":
    """The scenario with what the setup changes of it.

    Raises
    ------
    ConfigError
        There is no such scenario or phantom, or its file is wrong.
    """
    from isocenter.virtual.physics.scenario import find_scenario, scenario_phantom

    scenario = find_scenario(setup.scenario)
    scenario = replace(
        scenario,
        phantom=setup.phantom or scenario.phantom,
        phantom_file="" if setup.phantom else scenario.phantom_file,
        position=setup.position or scenario.position,
        n_spins=setup.n_spins or scenario.n_spins,
        receiver=replace(scenario.receiver, noise=scenario.receiver.noise if setup.has_noise else 0.0),
        seed=setup.seed or scenario.seed,
    )
    scenario_phantom(scenario)
    return scenario


def scanner_of(scenario: str, default: str) -> str:
    """Name of the hardware file that a scenario is meant for, or a default when it is for any.

    Raises
    ------
    ConfigError
        There is no such scenario, or its file is wrong.
    """
    from isocenter.config.scenarios import load_scenario

    return load_scenario(scenario).scanner or default
