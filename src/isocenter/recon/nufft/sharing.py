# SPDX-License-Identifier: MIT
"""Work for several threads at once: whoever is free takes the next piece."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def share(work: Callable[[Item], object], items: Iterable[Item], n_threads: int) -> None:
    """Call ``work`` for each item, by the calling thread and ``n_threads - 1`` others; ends when all is done."""
    share_with_number(lambda item, _: work(item), items, n_threads)


def share_with_number(work: Callable[[Item, int], object], items: Iterable[Item], n_threads: int) -> None:
    """The same; ``work`` also learns which thread calls it, 0 ... ``n_threads - 1``, for memory of its own."""
    waiting, lock = iter(items), threading.Lock()

    def serve(number: int) -> None:
        while True:
            with lock:
                try:
                    item = next(waiting)
                except StopIteration:
                    return
            work(item, number)

    if n_threads <= 1:
        serve(0)
        return
    with ThreadPoolExecutor(n_threads - 1) as pool:
        helpers = [pool.submit(serve, number) for number in range(1, n_threads)]
        serve(0)
        for helper in helpers:
            helper.result()
