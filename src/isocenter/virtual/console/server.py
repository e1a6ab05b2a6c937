# SPDX-License-Identifier: MIT
"""The virtual console on its socket: one client at a time, one request at a time, as the original serves them."""

import contextlib
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ConnectError
from isocenter.domain.scanner import GradientBoard
from isocenter.virtual.console.commands import Commands, Player
from isocenter.virtual.console.faults import Faults
from isocenter.virtual.console.gradients import GradientCores
from isocenter.virtual.console.machine import Machine, warm_up
from isocenter.virtual.console.playback import SignalModel
from isocenter.virtual.console.runs import HARDWARE_BUS, SIMULATOR_BUS, Run
from isocenter.virtual.console.vclock import VirtualClock
from isocenter.virtual.console.wire import Reply, Request, RequestReader, RequestRefused

_LOG = logging.getLogger(__name__)
_CHUNK_BYTES: Final = 1 << 20
_POLL_S: Final = 0.05
_SEND_S: Final = 60.0
_Fifos = list[tuple[NDArray[np.int32], NDArray[np.int32]]]


class _Ended(Exception):
    """The server is stopping, or nobody is left to answer."""


class VirtualConsoleServer:
    """A MaRCoS server in software.

    ``start`` opens the port and serves in a thread of its own; ``stop`` ends both, also in the middle of a run.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one, see ``address``.
    signal_model
        Who knows what the receiver hears. None: receivers return what the transmitters play, like the HDL simulator.
    time_scale
        Wall time of a run over its duration: 1 is real time, 0 as fast as it goes.
    kind
        The answer to ``are_you_real``. With ``"simulation"`` time between commands passes as in the HDL simulator.
    board
        The gradient board that is connected; None: whichever core a program enables.
    segment_gap_s
        Virtual time between two runs when ``time_scale`` is 0 [s]; see ``VirtualClock``.
    faults
        What goes wrong; may be changed at any time.

    Attributes
    ----------
    on_end
        Called after each run, in its own time, with whether every gradient output is at zero then; set it before ``start``.
    failure
        What the signal model raised in the last run, None if nothing; the client's link is dropped then.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        signal_model: SignalModel | None = None,
        time_scale: float = 0.0,
        kind: str = "virtual",
        board: GradientBoard | None = None,
        segment_gap_s: float = 0.02,
        faults: Faults | None = None,
    ) -> None:
        if not time_scale >= 0:
            raise ValueError(f"time_scale must be 0 or more, not {time_scale}")
        self._requested = (host, port)
        self._model, self._kind = signal_model, kind
        self.faults = faults
        self.on_end: Callable[[bool], None] = lambda _: None
        self.clock = VirtualClock(time_scale=time_scale, segment_gap_s=segment_gap_s)
        is_simulator = kind == "simulation"
        self.machine = Machine(
            bus=SIMULATOR_BUS if is_simulator else HARDWARE_BUS,
            board=board,
            is_loopback=signal_model is None,
            has_mixers=not is_simulator,
            cores=GradientCores(needs_init=not is_simulator),
        )
        player = Player(run_seq=self._run_seq, start_clock=self.clock.begin, signals_of=self._signals_by_hand)
        self._commands = Commands(self.machine, kind, player)
        self.failure: BaseException | None = None
        self._n_runs = 0
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._client: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._wake: tuple[socket.socket, socket.socket] | None = None
        self._physics: futures.ThreadPoolExecutor | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on."""
        if self._listener is None:
            raise RuntimeError("The server has not been started.")
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    @property
    def n_runs(self) -> int:
        """Programs played since the start."""
        return self._n_runs

    def pass_time(self, seconds: float) -> None:
        """Let virtual time pass before the next run, for a client that does not want to wait for it; any thread."""
        self.clock.pass_time(seconds)

    def start(self) -> None:
        """Open the port and serve.

        Raises
        ------
        ConnectError
            When the port cannot be opened.
        """
        if self._thread is not None:
            raise RuntimeError("The server is already running.")
        warm_up()
        host, port = self._requested
        try:
            self._listener = socket.create_server((host, port), backlog=10)
        except OSError as error:
            # create_server adds words of its own to the system's
            reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else error
            raise ConnectError(
                f"The virtual scanner cannot listen on {host}:{port} ({reason}).",
                "Choose another port (--port), or end the program that uses this one.",
            ) from error
        self._stopping.clear()
        self._wake = socket.socketpair()
        self._physics = futures.ThreadPoolExecutor(1, thread_name_prefix="virtual-physics")
        self._thread = threading.Thread(target=self._serve, name="virtual-console", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the run, the connection and the threads; safe to call twice."""
        self._stopping.set()
        thread, wake, physics, listener = self._thread, self._wake, self._physics, self._listener
        if thread is None or wake is None or physics is None or listener is None:
            return
        with contextlib.suppress(OSError):
            wake[1].send(b"x")
        thread.join()
        physics.shutdown(wait=True, cancel_futures=True)
        for each in (*wake, listener):
            each.close()
        self._thread = self._wake = self._physics = self._listener = None

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until a client has closed the server, or until ``stop``; True when it has ended."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _serve(self) -> None:
        """Body of the thread."""
        listener, wake = self._listener, self._wake
        assert listener is not None
        assert wake is not None
        is_open = True
        while is_open and self._has_data(listener):
            client, peer = listener.accept()
            _LOG.info("client %s:%s", *peer[:2])
            self._client = client
            with client:
                client.settimeout(_SEND_S)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    is_open = self._converse(client)
                except (_Ended, OSError) as error:
                    _LOG.info("connection ended: %s", error)
            self._client = None
        listener.close()

    def _has_data(self, source: socket.socket) -> bool:
        """Wait for a socket; False when the server is to stop."""
        assert self._wake is not None
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            selector.register(self._wake[0], selectors.EVENT_READ)
            selector.select()
        return not self._stopping.is_set()

    def _converse(self, client: socket.socket) -> bool:
        """Serve one client until it leaves; False when it has asked the server to close."""
        reader = RequestReader()
        stays_open = True
        while self._has_data(client):
            data = client.recv(_CHUNK_BYTES)
            if not data:
                break
            try:
                reader.feed(data)
                while (found := reader.next()) is not None:
                    request = Request(found[0])
                    n_before = self._n_runs
                    self.clock_to_machine()
                    reply = self._commands.answer(request)
                    if request.packet_type == 2:
                        stays_open = False
                    if not self._send(client, reply, is_run=self._n_runs > n_before) or request.has_failed:
                        return stays_open
            except RequestRefused as error:
                _LOG.warning("request refused: %s", error)
                break
        return stays_open

    def clock_to_machine(self) -> None:
        """Let the console's own clock catch up with the time between two requests."""
        machine = self.machine
        machine.now += machine.bus.request_ticks
        manual = machine.manual
        if manual is not None and self._kind != "simulation" and not manual.run.is_endless:
            elapsed = self.clock.ticks_since_start(manual.run.playback)
            machine.now = max(machine.now, manual.run.origin + elapsed)

    def _send(self, client: socket.socket, reply: Reply, *, is_run: bool) -> bool:
        """Send a reply, or what the faults make of it; False when the connection is to be closed."""
        faults = self.faults
        data = reply.encode()
        if is_run and faults is not None and faults.are_due(self._n_runs):
            self._pause(faults.delay_s)
            if faults.garbage:
                data = faults.garbage
            if faults.cuts_reply:
                client.sendall(data[: len(data) // 2])
            if faults.drops_link or faults.cuts_reply:
                return False
            if faults.gives_no_reply:
                return True
        client.sendall(data)
        return True

    def _pause(self, seconds: float) -> None:
        """Let wall time pass."""
        if seconds > 0 and self._stopping.wait(seconds):
            raise _Ended("the server is stopping")

    def _signals_of(self, run: Run) -> Sequence[NDArray[np.complex64]]:
        """Signals of a run's windows; the physics runs in its own thread, so that a stop is noticed meanwhile."""
        if self._model is None:
            return []
        assert self._physics is not None
        answer: futures.Future[list[NDArray[np.complex64]]] = self._physics.submit(self._model.play, run.playback)
        while not self._stopping.is_set():
            done, _ = futures.wait([answer], timeout=_POLL_S)
            if done:
                break
        if not answer.done():
            raise _Ended("the server is stopping")
        self.failure = answer.exception()
        if self.failure is not None:
            _LOG.error("the simulation failed", exc_info=self.failure)
            raise _Ended("the simulation failed")
        return answer.result()

    def _signals_by_hand(self, run: Run) -> Sequence[NDArray[np.complex64]]:
        self.clock.end(run.playback.duration_s)
        return self._signals_of(run)

    def _run_seq(self, words: NDArray[np.uint32]) -> tuple[Run, _Fifos]:
        """Play one program in its own time."""
        machine, clock = self.machine, self.clock
        start_s, idle_s = clock.begin()
        began = time.monotonic()
        run = machine.begin(words, start_s, idle_s)
        self._n_runs += 1
        try:
            if run.is_endless:
                self._wait_for_nobody()
            signals = self._signals_of(run)
            self._pause(run.playback.duration_s * clock.time_scale - (time.monotonic() - began))
        except _Ended:
            machine.abandon(run)
            clock.end(run.playback.duration_s)
            raise
        finally:
            self.on_end(not np.any(machine.cores.codes))
        received = machine.finish(run, signals)
        clock.end(run.playback.duration_s)
        faults = self.faults
        if faults is not None and faults.are_due(self._n_runs):
            if faults.error:
                run.messages["errors"].append(faults.error)
            real, imag = received[0]
            keep = max(0, len(real) - faults.n_missing_samples)
            received[0] = real[:keep], imag[:keep]
        return run, received

    def _wait_for_nobody(self) -> None:
        """A program without FINISH: the original never answers again. Here a client that leaves ends it."""
        client = self._client
        assert client is not None
        while not self._stopping.wait(_POLL_S):
            client.setblocking(False)
            try:
                if not client.recv(1, socket.MSG_PEEK):
                    break
            except BlockingIOError:
                continue
            except OSError:
                break
            finally:
                client.settimeout(_SEND_S)
        raise _Ended("a program without end was abandoned")
