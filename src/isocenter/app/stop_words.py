# SPDX-License-Identifier: MIT
"""What stopped the scanner, said at once by a command: the error that ends its scan comes only when all is at rest."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from isocenter.app.control import ScannerControl
from isocenter.app.control_status import ControlStatus
from isocenter.domain.control import Fault


@contextlib.contextmanager
def stops_told(control: ScannerControl, say: Callable[[str], None]) -> Iterator[None]:
    """Within, the first fault that stops the scanner is said when it does; a person who stops it knows.

    It is said in a thread of its own: whoever watches the devices never waits for a terminal.
    """
    wake, causes = threading.Event(), list[Fault]()

    def look(status: ControlStatus) -> None:
        if status.is_stopped and status.cause is not None and not causes:
            causes.append(status.cause)
            wake.set()

    def tell() -> None:
        wake.wait()
        for cause in causes[:1]:
            say(f"Stopped: {cause.problem} {cause.remedy}")
            say("Bringing every output to zero")

    thread = threading.Thread(target=tell, name="stop words", daemon=True)
    thread.start()
    control.listen(look)
    try:
        yield
    finally:
        control.listen(lambda _: None)
        wake.set()
        thread.join()
