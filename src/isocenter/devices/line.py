# SPDX-License-Identifier: MIT
"""A serial line with deadlines: a USB port, a serial server in the network, or a test's pseudo-terminal.

Nothing is ever written to a port that the hardware file does not name or whose USB identity does not match: other devices
may hang on the same computer.
"""

import time
from collections.abc import Callable
from typing import Final

import serial
from serial.tools import list_ports

from isocenter.domain.device import DeviceLink, UsbIdentity
from isocenter.domain.errors import ConfigError, ConnectError, DeviceTimeout, ProtocolError

MAX_REPLY: Final = 1 << 20
_SLICE_S: Final = 0.05  # a read returns at least so often, so that a deadline is met whatever the driver below does


class Line:
    """One open line. Belongs to one thread.

    Parameters
    ----------
    link
        Where the device is.
    name
        What people call it, for messages.
    baud
        Speed when the link names none.
    """

    def __init__(self, link: DeviceLink, name: str, baud: int) -> None:
        self._link, self.name, self._baud = link, name, link.baud or baud
        self._port: serial.Serial | None = None

    @property
    def is_open(self) -> bool:
        """True between ``open`` and ``close``; says nothing about whether anybody listens."""
        return self._port is not None

    @property
    def address(self) -> str:
        """Where the device is looked for, in words."""
        if self._link.url:
            return self._link.url
        usb = self._link.usb
        return f"USB {usb.vendor_id:04x}:{usb.product_id:04x} {usb.serial_number}".strip() if usb else "nowhere"

    def open(self) -> None:
        """Open the port anew.

        Raises
        ------
        ConnectError
            It is not there, or another program uses it.
        """
        self.close()
        url = self._link.url or find_port(self._link.usb, self.name)
        try:
            self._port = serial.serial_for_url(url, baudrate=self._baud, timeout=_SLICE_S, write_timeout=0.25)
        except (OSError, ValueError) as error:  # a SerialException is an OSError
            raise ConnectError(
                f"The {self.name} cannot be reached at {self.address}: {getattr(error, 'strerror', None) or error}.",
                "Check its power and its cable, and close other programs that use it. If it is somewhere else, correct its "
                "address in the hardware file.",
            ) from error

    def close(self) -> None:
        """Let go of the port. Never raises."""
        port, self._port = self._port, None
        if port is None:
            return
        left_open = getattr(port, "_socket", None)
        if type(port).__module__.endswith("protocol_socket"):
            port.is_open = False  # its own close() sleeps for 0.3 s, and forgets the socket when the far end has gone
        try:
            port.close()
        except OSError:
            pass  # the cable is gone; there is nothing to let go of
        finally:
            if left_open is not None:
                left_open.close()

    def write(self, data: bytes) -> None:
        """Send; returns when the operating system has taken all of it.

        Raises
        ------
        DeviceTimeout
            The line takes nothing.
        ConnectError
            The line is gone.
        """
        port = self._require()
        try:
            port.write(data)
        except serial.SerialTimeoutException as error:
            raise self._silent("takes no more bytes") from error
        except OSError as error:
            raise self._gone(error) from error

    def read(self, is_complete: Callable[[bytes], bool], timeout_s: float, doing: str) -> bytes:
        """Bytes until ``is_complete`` says so.

        Parameters
        ----------
        is_complete
            Told everything that has come since the call.
        timeout_s
            For all of it [s].
        doing
            For the message, such as ``switch off``.

        Raises
        ------
        DeviceTimeout
            Not complete in time; ``partial`` has what came.
        ProtocolError
            It does not stop talking.
        ConnectError
            The line is gone.
        """
        port, deadline, received = self._require(), time.monotonic() + timeout_s, b""
        while not is_complete(received):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                received += self.drain()  # a computer that let us not run is no device that did not answer
                if is_complete(received):
                    break
                raise self._silent(f"did not {doing} within {timeout_s:g} s", received)
            if len(received) > MAX_REPLY:
                raise ProtocolError(
                    f"The {self.name} does not stop sending.",
                    "Switch it off and on, then connect again. Check the baud rate.",
                )
            try:
                port.timeout = min(_SLICE_S, left_s)
                received += port.read(max(1, port.in_waiting))
            except OSError as error:
                raise self._gone(error) from error
        return received

    def exchange(self, request: bytes, is_complete: Callable[[bytes], bool], timeout_s: float, doing: str) -> bytes:
        """Drop what came unasked, send, and read the answer. Errors as for ``write`` and ``read``."""
        self.drain()
        self.write(request)
        return self.read(is_complete, timeout_s, doing)

    def drain(self) -> bytes:
        """What came unasked; does not wait."""
        port, received = self._require(), b""
        try:
            while len(received) < MAX_REPLY and (n := port.in_waiting):
                port.timeout = 0
                if not (more := port.read(n)):
                    break
                received += more
        except OSError as error:
            raise self._gone(error) from error
        return received

    def _require(self) -> serial.Serial:
        if self._port is None:
            raise ConnectError(f"The line to the {self.name} is not open.", "Connect it again.")
        return self._port

    def _silent(self, what: str, received: bytes = b"") -> DeviceTimeout:
        error = DeviceTimeout(
            f"The {self.name} {what}.", f"Check its power and the cable at {self.address}, then connect again."
        )
        error.partial = received
        return error

    def _gone(self, error: OSError) -> ConnectError:
        self.close()
        return ConnectError(
            f"The line to the {self.name} at {self.address} is gone: {error.strerror or error}.",
            "Plug the cable in again, then connect.",
        )


def find_port(usb: UsbIdentity | None, name: str) -> str:
    """Port of a USB device.

    Raises
    ------
    ConfigError
        The hardware file says nothing of where it is.
    ConnectError
        It is not there, or more than one fits.
    """
    if usb is None:
        raise ConfigError(f"The hardware file does not say where the {name} is.", "Give it a url or a usb identity.")
    ports = [
        port.device
        for port in list_ports.comports()
        if (port.vid, port.pid) == (usb.vendor_id, usb.product_id) and usb.serial_number in ("", port.serial_number)
    ]
    wanted = f"{usb.vendor_id:04x}:{usb.product_id:04x}" + (f" with number {usb.serial_number}" if usb.serial_number else "")
    if not ports:
        raise ConnectError(f"The {name} (USB {wanted}) is not connected.", "Plug in its USB cable and switch it on.")
    if len(ports) > 1:
        raise ConnectError(
            f"{len(ports)} devices fit the {name} (USB {wanted}): {', '.join(ports)}.",
            "Unplug the others, or give its serial number in the hardware file.",
        )
    return str(ports[0])
