# SPDX-License-Identifier: MIT
"""A small scanner, and a way to write event tables by hand in seconds, hertz and hertz per metre."""

from dataclasses import replace

import numpy as np

from isocenter.domain.events import GRADIENT_CHANNELS, TX_FULL_SCALE, Track
from isocenter.domain.scanner import (
    ConsoleLink,
    GradientAxis,
    GradientBoard,
    GradientSystem,
    Magnet,
    Receiver,
    RfSystem,
    Scanner,
)
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.virtual.console.playback import Playback, RxWindow

CLOCK_HZ = 122.88e6
LARMOR_HZ = 2.0e6
RF_FULL_HZ = 10e3
GRADIENT_FULL_T_PER_M = 0.04


def make_scanner(channel_from_device=None, delay_s=0.0, board=GradientBoard.OCRA1) -> Scanner:
    axis = GradientAxis(
        full_scale_t_per_m=GRADIENT_FULL_T_PER_M,
        max_t_per_m=0.03,
        max_slew_t_per_m_s=60.0,
        max_rms_t_per_m=0.02,
        delay_s=delay_s,
    )
    return Scanner(
        name="lab",
        title="Lab",
        manufacturer="",
        model="",
        serial_number="",
        station_name="",
        institution="",
        body_parts=("HEAD",),
        magnet=Magnet(
            larmor_hz=LARMOR_HZ,
            search_span_hz=5e4,
            bore_m=0.3,
            imaging_diameter_m=0.2,
            homogeneity_ppm=1000.0,
            drift_hz_per_c=-2000.0,
        ),
        gradients=GradientSystem(
            board=board,
            spi_divider=4,
            update_interval_s=10e-6,
            axes=(axis, replace(axis), replace(axis)),
            channel_from_device=np.eye(3) if channel_from_device is None else np.asarray(channel_from_device, float),
        ),
        rf=RfSystem(
            full_scale_t=RF_FULL_HZ / GAMMA_HZ_PER_T,
            warmup_s=1e-5,
            hold_s=1e-5,
            dead_time_s=1e-4,
            max_pulse_s=0.02,
            max_duty=0.2,
        ),
        receiver=Receiver(oversampling=5, volts_per_unit=1.0, coil_bandwidth_hz=1e5, coil_name="coil"),
        console=ConsoleLink(family="marcos", host="localhost", port=11111, clock_hz=CLOCK_HZ, segment_gap_s=0.02),
    )


def tick(time_s: float) -> int:
    return round(time_s * CLOCK_HZ)


class Table:
    """Builds tracks: RF steps and gradient steps with absolute times."""

    def __init__(self) -> None:
        self.rf: dict[int, complex] = {}
        self.gradient: tuple[dict[int, int], ...] = ({}, {}, {})
        self.end_s = 0.0

    def pulse(self, start_s: float, step_s: float, envelope_hz, phase_rad: float = 0.0) -> float:
        """Envelope in Hz, one step each; returns the end."""
        envelope = np.atleast_1d(np.asarray(envelope_hz, complex)) * np.exp(1j * phase_rad) / RF_FULL_HZ * TX_FULL_SCALE
        for i, value in enumerate(envelope):
            self.rf[tick(start_s + i * step_s)] = complex(round(value.real), round(value.imag))
        end_s = start_s + len(envelope) * step_s
        self.rf[tick(end_s)] = 0.0
        self.end_s = max(self.end_s, end_s)
        return end_s

    def hard(self, centre_s: float, flip_rad: float, phase_rad: float = 0.0, duration_s: float = 100e-6) -> float:
        """Rectangular pulse around a time."""
        return self.pulse(centre_s - duration_s / 2, duration_s, [flip_rad / (2 * np.pi * duration_s)], phase_rad)

    def grad(self, axis: int, start_s: float, end_s: float, hz_per_m: float) -> None:
        """Constant gradient, zero after."""
        self.set_grad(axis, start_s, hz_per_m)
        self.set_grad(axis, end_s, 0.0)
        self.end_s = max(self.end_s, end_s)

    def set_grad(self, axis: int, at_s: float, hz_per_m: float) -> None:
        self.gradient[axis][tick(at_s)] = code_of(hz_per_m)

    def tracks(self) -> dict[str, Track]:
        out = {}
        ticks = sorted(self.rf)
        for name, part in (("tx0_i", "real"), ("tx0_q", "imag")):
            values = [int(getattr(complex(self.rf[t]), part)) for t in ticks]
            out[name] = Track(np.array(ticks, np.int64), np.array(values, np.int32))
        for name, changes in zip(GRADIENT_CHANNELS, self.gradient, strict=True):
            ticks_g = sorted(changes)
            out[name] = Track(np.array(ticks_g, np.int64), np.array([changes[t] for t in ticks_g], np.int32))
        return out


def code_of(hz_per_m: float) -> int:
    return round(hz_per_m / (GRADIENT_FULL_T_PER_M * GAMMA_HZ_PER_T) * 131071)


def hz_per_m_of(code: int) -> float:
    return code * GRADIENT_FULL_T_PER_M * GAMMA_HZ_PER_T / 131071


def sampled(start_s: float, dwell_s: float, n: int) -> np.ndarray:
    """Ticks of even samples."""
    return tick(start_s) + round(dwell_s * CLOCK_HZ) * np.arange(n, dtype=np.int64)


def seconds(ticks) -> np.ndarray:
    return np.asarray(ticks) / CLOCK_HZ


def reference(
    spins, scanner, tracks, windows, lo_hz, larmor_hz=LARMOR_HZ, *, raster_s=None, more_hz=None, place=None, rf_of=None
):
    """Independent integration in double precision: the affine Bloch equation, exact matrix exponentials between changes.

    Slow and obvious: every spin, every change of any channel, relaxation inside pulses as well. Things that change all the
    time take their value in the middle of each step of a raster: ``more_hz(time_s, gradient, position)`` is added to the
    frequency, shape (n_steps, n); ``place(time_s)`` are positions along channels, shape (n_steps, n, 3); ``rf_of(hz)`` is
    what becomes of the RF.
    """
    end = max(int(t[-1]) for t in windows)
    edges = [[0], *[t.ticks for t in tracks.values()], *windows]
    if raster_s:
        edges.append(np.arange(0, end, tick(raster_s)))
    edges = np.unique(np.concatenate(edges))
    edges = edges[edges <= end]
    codes = {name: _held(track, edges) for name, track in tracks.items()}
    rf_hz = (codes["tx0_i"] + 1j * codes["tx0_q"]) * RF_FULL_HZ / TX_FULL_SCALE
    gradient = np.stack([codes[name] for name in GRADIENT_CHANNELS], 1) * hz_per_m_of(1)
    if rf_of is not None:
        rf_hz = rf_of(rf_hz)
    position = spins.position_m.astype(float) @ scanner.gradients.channel_from_device.T
    middle_s = np.append(edges[:-1] + edges[1:], 2 * edges[-1]) / 2 / CLOCK_HZ
    gradient_hz = np.einsum("tc,tnc->tn", gradient, place(middle_s)) if place is not None else gradient @ position.T
    if more_hz is not None:
        gradient_hz = gradient_hz + more_hz(middle_s, gradient, position)
    n = len(spins)
    state = np.tile([0.0, 0.0, 1.0, 1.0], (n, 1))
    at = {}
    r1, r2 = 1 / spins.t1_s[spins.tissue], 1 / spins.t2_s[spins.tissue]
    b = 2 * np.pi * rf_hz[:, None] * spins.b1_scale.astype(float)
    f = 2 * np.pi * (larmor_hz - lo_hz + spins.offset_hz.astype(float) + gradient_hz)
    rate = np.zeros((len(edges), n, 4, 4))  # dM/dt = Omega x M - relaxation
    rate[..., 0, 0] = rate[..., 1, 1] = -r2
    rate[..., 2, 2], rate[..., 2, 3] = -r1, r1
    rate[..., 0, 1], rate[..., 1, 0] = -f, f
    rate[..., 0, 2], rate[..., 2, 0] = b.imag, -b.imag
    rate[..., 1, 2], rate[..., 2, 1] = -b.real, b.real
    propagator = _exponential(rate[:-1] * (np.diff(edges) / CLOCK_HZ)[:, None, None, None])
    for i, edge in enumerate(edges):
        at[int(edge)] = (spins.weight * (state[:, 0] + 1j * state[:, 1])).sum()
        if i + 1 < len(edges):
            state = np.einsum("nij,nj->ni", propagator[i], state)
    return [np.array([at[int(t)] for t in window]) for window in windows]


def _held(track, edges):
    index = np.searchsorted(track.ticks, edges, side="right") - 1
    return (
        np.where(index >= 0, track.values[np.maximum(index, 0)], 0).astype(float)
        if len(track.ticks)
        else np.zeros(len(edges))
    )


def _exponential(matrix):
    """Exponential of a stack of matrices: Taylor's series of a small fraction, squared up."""
    halvings = max(int(np.ceil(np.log2(np.abs(matrix).sum(axis=-1).max() / 0.25))), 0)
    small = matrix / 2**halvings
    total = term = np.broadcast_to(np.eye(matrix.shape[-1]), matrix.shape)
    for order in range(1, 12):
        term = term @ small / order
        total = total + term
    for _ in range(halvings):
        total = total @ total
    return total


def fid_run(lo_hz=LARMOR_HZ, idle_s=0.0, decimation=1024, n=600, flip=np.pi / 2, start_s=2e-3, reset_tick=50):
    """A run of one pulse and one receive window, as the virtual console hands it to the physics."""
    table = Table()
    table.hard(1e-3, flip, 0.0, 25e-6)
    ticks = sampled(start_s, decimation / CLOCK_HZ, n)
    window = RxWindow(
        tick=int(ticks[0]), stop_tick=int(ticks[-1]) + 1, decimation=decimation, sample_ticks=ticks.astype(float)
    )
    return Playback(
        tracks=table.tracks(),
        lo_ticks=np.array([0, 40]),
        lo_hz=np.array([0.0, lo_hz]),
        lo_reset_ticks=np.array([reset_tick]),
        windows=(window,),
        end_tick=int(ticks[-1]) + tick(1e-3),
        clock_hz=CLOCK_HZ,
        start_s=0.0,
        idle_s=idle_s,
    )
