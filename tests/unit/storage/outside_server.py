# SPDX-License-Identifier: MIT
"""A small reconstruction server, and several bad ones. Parses with the ismrmrd package, not with our own code."""

import contextlib
import socket
import struct
import threading

import ismrmrd
import numpy as np
from ismrmrd.serialization import ConfigFile, ConfigText, ProtocolDeserializer, ProtocolSerializer


class Server:
    """Serves one client in a thread; ``behave(self, link)`` says how."""

    def __init__(self, behave):
        self.config, self.header, self.lines, self.error = None, None, [], None
        self.first_line_before_close = threading.Event()
        self.release = threading.Event()
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._listener.close()

    def _run(self):
        link = None
        while link is None and not self.release.is_set():
            with contextlib.suppress(TimeoutError):
                link, _ = self._listener.accept()
        if link is None:
            return
        with link:
            link.settimeout(20)
            try:
                self._behave(self, link)
            except (OSError, EOFError, ValueError) as error:
                self.error = error

    def receive(self, stream, n_lines=None):
        """Messages until the client closes, or so many lines came."""
        for message in ProtocolDeserializer(stream).deserialize():
            if isinstance(message, ConfigFile | ConfigText):
                self.config = str(message)
            elif isinstance(message, ismrmrd.xsd.ismrmrdHeader):
                self.header = message
            else:
                self.lines.append(message)
                self.first_line_before_close.set()
                if n_lines is not None and len(self.lines) >= n_lines:
                    return


def images_of(server):
    """What every FFT server does: lines by their counters, inverse transform, the readout's oversampling cut off."""
    space = server.header.encoding[0].reconSpace
    keys = sorted({line.idx.slice for line in server.lines})
    for number in keys:
        lines = [line for line in server.lines if line.idx.slice == number and not line.is_flag_set(19)]
        n_lin = max(line.idx.kspace_encode_step_1 for line in lines) + 1
        n_par = max(line.idx.kspace_encode_step_2 for line in lines) + 1
        k = np.zeros((n_par, n_lin, lines[0].data.shape[1]), "c8")
        for line in lines:
            k[line.idx.kspace_encode_step_2, line.idx.kspace_encode_step_1] = line.data[0]
        image = np.abs(np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(k))))
        cut = (image.shape[2] - space.matrixSize.x) // 2
        image = image[:, :, cut : cut + space.matrixSize.x]
        result = ismrmrd.Image.from_array(image.astype("f4"), acquisition=lines[0], transpose=False)
        fov = space.fieldOfView_mm
        result.field_of_view[:] = (fov.x, fov.y, fov.z)
        result.image_type, result.image_index = ismrmrd.IMTYPE_MAGNITUDE, number + 1
        result.position[:] = lines[0].position[:]
        yield result


def good(server, link):
    """Images after all lines came, a word, and an end."""
    with link.makefile("rwb") as stream:
        server.receive(stream)
        answer = ProtocolSerializer(stream)
        answer.serialize("thank you")
        for image in images_of(server):
            answer.serialize(image)
        answer.close()


def hang(server, link):
    """Takes everything and says nothing."""
    with link.makefile("rb") as stream:
        server.receive(stream)
    server.release.wait(20)


def take_nothing(server, link):
    server.release.wait(20)


def die_at_once(server, link):
    link.close()


def die_in_the_middle(server, link):
    with link.makefile("rb") as stream:
        server.receive(stream, n_lines=2)


def rubbish(server, link):
    with link.makefile("rb") as stream:
        server.receive(stream, n_lines=1)
    link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    server.release.wait(20)


def huge_image(server, link):
    with link.makefile("rb") as stream:
        server.receive(stream)
    head = ismrmrd.ImageHeader()
    head.data_type, head.channels = ismrmrd.DATATYPE_CXDOUBLE, 60_000
    head.matrix_size[:] = (65_535,) * 3
    link.sendall(struct.pack("<H", 1022) + bytes(head) + struct.pack("<Q", 0))
    server.release.wait(20)


def half_an_image(server, link):
    with link.makefile("rb") as stream:
        server.receive(stream)
    head = ismrmrd.ImageHeader()
    head.data_type, head.channels = ismrmrd.DATATYPE_FLOAT, 1
    head.matrix_size[:] = (64, 64, 1)
    link.sendall(struct.pack("<H", 1022) + bytes(head) + struct.pack("<Q", 0) + b"\0" * 100)
    server.release.wait(20)


def no_end(server, link):
    """Images, and then the link is simply gone."""
    with link.makefile("rwb") as stream:
        server.receive(stream)
        answer = ProtocolSerializer(stream)
        for image in images_of(server):
            answer.serialize(image)
