# SPDX-License-Identifier: MIT
"""Writes Tecmag files from the published structures, field by field, knowing nothing of our reader."""

import struct

import numpy as np


def tmag(shape, *, frequency_mhz=2.1, dwell_s=5e-5):
    """The TMAG structure, 1024 bytes."""
    points = [*shape, 1, 1, 1, 1][:4]
    out = b""
    out += struct.pack("<4i", *points)  # npts
    out += struct.pack("<4i", *points)  # actual_npts
    out += struct.pack("<i", points[0])  # acq_points
    out += struct.pack("<4i", 1, 1, 1, 1)  # npts_start
    out += struct.pack("<6i", 4, 4, 0, 0, 0, 0)  # scans, actual_scans, dummy_scans, repeat_times, sadimension, samode
    out += struct.pack("<d", 0.0493)  # magnet_field
    out += struct.pack("<4d", *(frequency_mhz,) * 4)  # ob_freq
    out += struct.pack("<4d", *(frequency_mhz,) * 4)  # base_freq
    out += struct.pack("<4d", 0, 0, 0, 0)  # offset_freq
    out += struct.pack("<dd", 0, frequency_mhz)  # ref_freq, NMR_frequency
    out += struct.pack("<h42s", 1, b"")  # obs_channel, space2
    out += struct.pack("<4d", *(1 / dwell_s,) * 4)  # sw
    out += struct.pack("<4d", *(dwell_s,) * 4)  # dwell
    return out.ljust(1024, b"\0")


def section(tag, content):
    return struct.pack("<4sII", tag, 1, len(content)) + content


def write_tecmag(path, array, **changes):
    """An array of up to four axes, the first one fastest."""
    array = np.asarray(array)
    data = array.astype("<c8").tobytes(order="F")
    path.write_bytes(
        b"TNT1.005"
        + section(b"TMAG", tmag(array.shape, **changes))
        + section(b"DATA", data)
        + section(b"TMG2", bytes(2048))
        + section(b"PSEQ", b"PSEQ1.001.18 BIN")
    )
    return path
