# SPDX-License-Identifier: MIT
"""The one thread that owns every device."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from isocenter.domain.errors import DeviceTimeout

P = ParamSpec("P")
T = TypeVar("T")


class HardwareThread:
    """Calls devices one after the other, in one thread, and never waits for one without a deadline."""

    def __init__(self, name: str = "hardware") -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name, initializer=self._remember)
        self._ident: int | None = None

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Call a device's method when those before it are done; returns at once."""
        return self._pool.submit(function, *args, **kwargs)

    def call(self, function: Callable[[], T], *, timeout_s: float, doing: str) -> T:
        """Call a device's method and wait for its answer.

        Parameters
        ----------
        function
            What to call.
        timeout_s
            Longest wait, for those before it too [s].
        doing
            For the operator, such as ``bring the outputs to zero``.

        Raises
        ------
        DeviceTimeout
            When there is no answer in time. The call itself goes on: its thread stays busy.
        """
        future = self.submit(function)
        try:
            return future.result(timeout=timeout_s)
        except TimeoutError:
            if future.done() and not future.cancelled():
                raise
            future.cancel()
            raise DeviceTimeout(
                f"The console did not {doing} within {timeout_s:g} s.",
                "Check the console's power and network cable. If amplifiers are on, switch them off by hand.",
            ) from None

    def is_current(self) -> bool:
        """True in the hardware thread."""
        return threading.get_ident() == self._ident

    def close(self) -> None:
        """End the thread after the call that is running; calls that wait are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _remember(self) -> None:
        self._ident = threading.get_ident()
