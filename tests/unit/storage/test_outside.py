# SPDX-License-Identifier: MIT
"""The link to an outside reconstruction: a good server's images lie right; a bad one costs a deadline."""

import importlib.util
import io
import re
import time
from dataclasses import replace
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from ismrmrd.hdf5 import image_header_dtype
from ismrmrd.serialization import ProtocolSerializer

from isocenter.domain.errors import StorageError
from isocenter.domain.geometry import PatientPosition, lps_from_device
from isocenter.domain.raw import RawScan
from isocenter.recon.cartesian import reconstruct
from isocenter.storage.mrd_header import header_of_raw
from isocenter.storage.mrd_images import volumes_of
from isocenter.storage.mrd_wire import MessageId, MrdImage, read_message
from isocenter.storage.mrd_write import for_others, lines_of_raw
from isocenter.storage.outside import OutsideAddress, OutsideLink

spec = importlib.util.spec_from_file_location("outside_server", Path(__file__).with_name("outside_server.py"))
servers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(servers)

POINT_LPS_M = (0.021, -0.034, 0.055)


@pytest.fixture
def raw(examples):
    """A bright point at a known place of the patient, measured as our hardware does: s = exp(+i 2 pi k r)."""

    scan = examples.make_scan(16, 4, 32)
    encoding, placement = scan.encoding, examples.make_request().placement
    lin, par = np.tile(np.arange(16), 4), np.repeat(np.arange(4), 16)
    device = lps_from_device(placement.position).T @ np.array(POINT_LPS_M) - encoding.centre_device_m
    k = (
        (np.arange(32) - encoding.centre_sample)[None, :, None] * encoding.step_read_per_m
        + ((lin - encoding.centre_lin)[:, None] * encoding.step_lin_per_m)[:, None]
        + ((par - encoding.centre_par)[:, None] * encoding.step_par_per_m)[:, None]
    )
    samples = np.exp(2j * np.pi * (k @ device)).astype(np.complex64)[:, None]
    return RawScan(
        samples=samples,
        labels={"LIN": lin.astype(np.int32), "PAR": par.astype(np.int32)},
        dwell_s=1e-5,
        lo_hz=2e6,
        encoding=encoding,
        placement=placement,
        facts=scan.facts,
        definitions={"Matrix": "16 16 4"},
        n_expected=64,
        name="point",
    )


def send(raw, server, **limits):
    address = OutsideAddress(host="127.0.0.1", port=server.port, config="simplefft", **limits)
    link = OutsideLink(address, header_of_raw(raw, is_for_others=True))
    heads, rows, trajectories = lines_of_raw(replace(raw, samples=for_others(raw.samples)))
    link.send(heads[:20], rows[:20], trajectories)
    link.send(heads[20:], rows[20:], trajectories)
    return link


def test_images_come_back_and_lie_where_ours_do(raw):
    with servers.Server(servers.good) as server:
        answer = send(raw, server).finish()
    assert answer.problem == ""
    assert answer.texts == ("thank you",)
    assert server.config == "simplefft"
    assert len(server.lines) == 64
    np.testing.assert_array_equal(server.lines[5].data, raw.samples[5].conj())
    found = volumes_of(answer.images, raw.placement.position, "here")
    assert found.warnings == ()
    (volume,) = found.volumes
    (ours,) = reconstruct(raw)
    assert volume.label == "outside"
    assert volume.provenance[0] == ("outside reconstruction", "here")
    places = [
        item.geometry.lps_m(np.array(np.unravel_index(np.abs(item.data).argmax(), item.data.shape)))
        for item in (ours, volume)
    ]
    np.testing.assert_allclose(places[0], places[1], atol=1e-6)
    np.testing.assert_allclose(places[1], POINT_LPS_M, atol=0.0126)  # half a voxel of 25 mm, the largest
    assert sorted(volume.data.shape) == sorted(ours.data.shape)


def test_lines_go_out_while_the_scan_goes_on(raw):
    with servers.Server(servers.good) as server:
        link = send(raw, server)
        assert server.first_line_before_close.wait(10)
        assert link.finish().problem == ""


# How the server behaves, what is said of it, and how long it may take at most.
BAD = {
    "hang": (servers.hang, r"sent no end within 0\.8 s"),
    "die_at_once": (servers.die_at_once, r"ended the link"),
    "die_in_the_middle": (servers.die_in_the_middle, r"ended the link"),
    "rubbish": (servers.rubbish, r"message of the unknown kind 21576"),
    "huge_image": (servers.huge_image, r"message of \d{18,} bytes"),
    "half_an_image": (servers.half_an_image, r"fell silent in the middle|sent no end"),
    "take_nothing": (servers.take_nothing, r"sent no end within 0\.8 s"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_server_costs_no_more_than_its_deadline(name, raw):
    behave, said = BAD[name]
    started_s = time.monotonic()
    with servers.Server(behave) as server:
        link = send(raw, server, finish_s=0.8, stall_s=0.5)
        assert time.monotonic() - started_s < 2.0  # handing lines over waits for nobody
        answer = link.finish()
        took_s = time.monotonic() - started_s
    assert answer.images == ()
    assert re.search(said, answer.problem), answer.problem
    assert answer.problem.startswith(f"The outside reconstruction at 127.0.0.1:{server.port} ")
    assert answer.remedy
    assert took_s < 5.0


def test_a_server_that_stops_taking_lines_is_given_up(raw):
    many = 400  # more than the buffers of a socket take
    with servers.Server(servers.take_nothing) as server:
        link = send(raw, server, stall_s=0.3)
        heads, rows, _ = lines_of_raw(raw)
        for _ in range(many):
            link.send(heads, rows)
        answer = link.finish()
    assert "took nothing for 0.3 s" in answer.problem


def test_images_of_a_server_that_never_says_it_is_done_are_kept(raw):
    with servers.Server(servers.no_end) as server:
        answer = send(raw, server).finish()
    assert len(answer.images) == 1
    assert "ended the link before it had said that it was done" in answer.problem


def test_nobody_there(raw):
    with servers.Server(servers.good) as server:
        pass
    answer = send(raw, server, connect_s=1.0).finish()
    assert "does not answer" in answer.problem
    assert "that its server runs" in answer.remedy


def test_a_scan_that_is_stopped_drops_the_link_at_once(raw):
    with servers.Server(servers.hang) as server:
        link = send(raw, server, finish_s=60, stall_s=1.0)
        started_s = time.monotonic()
        assert link.abort().problem == ""
        assert time.monotonic() - started_s < 3.0


STRAIGHT = np.eye(3)


def image(data, position_mm=(0, 0, 0), axes=STRAIGHT, fov_mm=(100, 80, 5), attributes="", **numbers):
    made = ismrmrd.Image.from_array(np.asarray(data), transpose=False)
    made.position[:], made.field_of_view[:] = position_mm, fov_mm
    made.read_dir[:], made.phase_dir[:], made.slice_dir[:] = axes
    for name, value in numbers.items():
        setattr(made, name, value)
    head = np.frombuffer(bytes(made.getHead()), image_header_dtype)[0]
    return MrdImage(head=head, attributes=attributes, data=np.asarray(made.data))


def test_slices_are_sorted_in_space_and_a_left_handed_stack_is_turned():
    parts = [image(np.full((8, 10), value, "f4"), (0, 0, height)) for value, height in ((2, 0.0), (1, -6.0), (3, 6.0))]
    (volume,) = volumes_of(parts, PatientPosition.HFS, "x").volumes
    np.testing.assert_array_equal(volume.data[:, 0, 0], [1, 2, 3])
    assert volume.geometry.spacing_m == pytest.approx((0.006, 0.01, 0.01))
    np.testing.assert_allclose(volume.geometry.lps_m(np.array([1, 4, 5])), 0, atol=1e-9)
    block = image(np.arange(4 * 8 * 10, dtype="f4").reshape(4, 8, 10), axes=np.diag([1.0, 1, -1]), fov_mm=(100, 80, 20))
    (volume,) = volumes_of([block], PatientPosition.HFS, "x").volumes
    where = volume.geometry.lps_m(np.argwhere(volume.data == 0)[0])
    np.testing.assert_allclose(where, [-0.05, -0.04, 0.01], atol=1e-9)  # z counts downwards from index 2 at the middle


def test_attributes_tell_when_an_image_was_turned():
    text = "<ismrmrdMeta>" + "".join(
        f"<meta><name>{name}</name>{''.join(f'<value>{v}</value>' for v in vector)}</meta>"
        for name, vector in (("ImageRowDir", (0, 1, 0)), ("ImageColumnDir", (1, 0, 0)), ("ImageSliceDir", (0, 0, -1)))
    )
    (volume,) = volumes_of([image(np.ones((8, 10), "f4"), attributes=f"{text}</ismrmrdMeta>")], "HFS", "x").volumes
    np.testing.assert_array_equal(volume.geometry.row_direction, [0, 1, 0])
    assert volume.is_placed


@pytest.mark.parametrize("changes", [{"axes": np.zeros((3, 3))}, {"fov_mm": (0, 0, 0)}, {"position_mm": (np.nan, 0, 0)}])
def test_images_without_a_place_say_so(changes):
    found = volumes_of([image(np.ones((8, 10), "f4"), **changes)], PatientPosition.HFS, "x")
    assert not found.volumes[0].is_placed
    assert "does not say where its images lie" in found.warnings[0]


def test_several_series_channels_and_types():
    parts = [
        image(np.full((2, 1, 8, 10), 3 + 4j, "c8"), image_series_index=1),
        image(np.full((8, 10), 7, "u2"), image_series_index=2),
        image(np.full((8, 10), 1.5, "f4"), image_series_index=2, image_type=ismrmrd.IMTYPE_PHASE),
        image(np.full((8, 10), np.nan, "f4"), image_series_index=3),
        image(np.zeros((3, 1, 8, 10), "u2"), image_type=ismrmrd.IMTYPE_RGB),
    ]
    found = volumes_of(parts, PatientPosition.HFS, "x")
    assert [(volume.kind, volume.data.max()) for volume in found.volumes] == [
        ("magnitude", pytest.approx(5 * np.sqrt(2))),
        ("magnitude", 7),
        ("phase", 1.5),
    ]
    assert len(found.warnings) == 2


def test_broken_messages_give_images_or_a_sentence():
    stream = io.BytesIO()
    sender = ProtocolSerializer(stream)
    for index in range(3):
        made = ismrmrd.Image.from_array(np.full((8, 10), 1 + index, "c8"), transpose=False)
        made.position[:], made.field_of_view[:] = (0, 0, 5 * index), (100, 80, 5)
        made.read_dir[:], made.phase_dir[:], made.slice_dir[:] = STRAIGHT
        sender.serialize(made)
    sender.serialize("hello")
    sender.serialize(ismrmrd.Acquisition.from_array(np.ones((1, 5), "c8")))
    sender.close()
    rng, n_refused, n_volumes = np.random.default_rng(9), 0, 0
    for _ in range(600):
        content = bytearray(stream.getvalue())
        for index in rng.integers(0, len(content), rng.integers(1, 12)):
            content[index] = rng.integers(256)
        source, images = io.BytesIO(bytes(content)), []

        def read(n_bytes, source=source):
            part = source.read(n_bytes)
            if len(part) < n_bytes:
                raise EOFError
            return part

        try:
            while (message := read_message(read)).kind is not MessageId.CLOSE:
                images += [message.image] if message.image is not None else []
        except StorageError:
            n_refused += 1
        except EOFError:
            pass
        for volume in volumes_of(images, PatientPosition.HFS, "x").volumes:
            assert np.all(np.isfinite(volume.data))
            assert np.all(np.isfinite(volume.geometry.lps_m(np.zeros(3))))
            n_volumes += 1
    assert n_refused > 10
    assert n_volumes > 500
