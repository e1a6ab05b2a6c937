# SPDX-License-Identifier: MIT
"""From Pulseq to words, against marga_pulseq, which goes half of the way (to a table of floats)."""

import contextlib
import io
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.files import tse_file_for_peer
from bench.measure import Row, compare
from isocenter.compiler.interpret import compile_scan
from isocenter.compiler.pulseq.reader import read_pulseq
from isocenter.config.hardware import load_scanner
from isocenter.devices.marcos.encode import MarcosProgram, encode_segments
from isocenter.domain.geometry import Placement
from isocenter.domain.scanner import Scanner, nominal_calibration
from isocenter.domain.units import GAMMA_HZ_PER_T

BOARDS = ("osii-one", "physio-72mT")


def words_of(data: bytes, scanner: Scanner) -> list[MarcosProgram]:
    """The whole way."""
    scan = compile_scan(read_pulseq(data), scanner, nominal_calibration(scanner), Placement(), with_trajectory=False)
    return list(encode_segments(scan.segments, scan.lo_hz, scanner.gradients))


def interpret_theirs(path: Path, scanner: Scanner) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """marga_pulseq's half: the same file, the same gradient update interval."""
    from marga_pulseq.interpreter import PSInterpreter

    full_scale = [axis.full_scale_t_per_m * GAMMA_HZ_PER_T for axis in scanner.gradients.axes]
    interpreter = PSInterpreter(
        rf_center=scanner.magnet.larmor_hz,
        rf_amp_max=scanner.rf.full_scale_hz,
        gx_max=full_scale[0],
        gy_max=full_scale[1],
        gz_max=full_scale[2],
        tx_warmup=0,
        grad_t=scanner.gradients.update_interval_s * 1e6,
        log_file=str(path.with_suffix("")),
    )
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            table, _ = interpreter.interpret(str(path))
    finally:
        logging.disable(logging.NOTSET)
    return table


def run() -> list[Row]:
    """Time on both boards, and peak memory of a process that does only this."""
    rows = []
    for name in BOARDS:
        scanner = load_scanner(name)
        data = tse_file_for_peer(name)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tse.seq"
            path.write_bytes(data)
            _check_areas(data, path, scanner)
            rows.append(
                compare(
                    f"Pulseq to words, {scanner.gradients.board}",
                    lambda data=data, scanner=scanner: words_of(data, scanner),
                    "marga_pulseq, half of the way",
                    lambda path=path, scanner=scanner: interpret_theirs(path, scanner),
                    target=10,
                    checked="gradient areas equal to 0.5 %",
                )
            )
            rows.append(_memory(name, path))
    return rows


def _check_areas(data: bytes, path: Path, scanner: Scanner) -> None:
    """Both tables hold the same gradient area on the read axis of a plain placement."""
    scan = compile_scan(read_pulseq(data), scanner, nominal_calibration(scanner), Placement())
    theirs = interpret_theirs(path, scanner)
    ours_area = 0.0
    for segment in scan.segments:
        for name in ("grad_vx", "grad_vy", "grad_vz"):
            track = segment.tracks.get(name)
            if track is not None and len(track.ticks):
                length_s = np.diff(np.append(track.ticks, segment.end_tick)) / scan.clock_hz
                scale = scan.gradient_t_per_m_per_code[("grad_vx", "grad_vy", "grad_vz").index(name)]
                ours_area += float(np.sum(np.abs(track.values) * length_s)) * scale
    theirs_area = 0.0
    for name, axis in zip(("grad_vx", "grad_vy", "grad_vz"), scanner.gradients.axes, strict=True):
        times_us, values = theirs[name]
        theirs_area += float(np.sum(np.abs(values[:-1]) * np.diff(times_us))) * 1e-6 * axis.full_scale_t_per_m
    assert abs(ours_area / theirs_area - 1) < 0.005, (ours_area, theirs_area)


def _memory(name: str, path: Path) -> Row:
    ours, theirs = (_peak_mb(who, name, path) for who in ("ours", "theirs"))
    return Row(
        what=f"  peak memory, {load_scanner(name).gradients.board}",
        peer="marga_pulseq",
        ours_s=float("nan"),
        peer_s=float("nan"),
        ratio=f"{ours:.0f}/{theirs:.0f} MB",
        target="<= 0.5",
        reached=0 < ours <= 0.5 * theirs,
        checked="a process each; resident memory above that before the work, imports and compiled code loaded",
    )


def _peak_mb(who: str, scanner_name: str, path: Path) -> float:
    code = f"from bench.compile import work; print(work({who!r}, {scanner_name!r}, {str(path)!r}))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return float(out.strip().splitlines()[-1])


def work(who: str, scanner_name: str, path: str) -> float:
    """One process's work; returns by how much its memory grew at most [MB]. A tiny file warms it up first."""
    from bench.files import tiny_file

    scanner, target = load_scanner(scanner_name), Path(path)
    tiny = target.with_name(f"tiny-{who}.seq")
    tiny.write_bytes(tiny_file(scanner_name))

    def once(file: Path) -> object:
        return words_of(file.read_bytes(), scanner) if who == "ours" else interpret_theirs(file, scanner)

    once(tiny)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    before = _status_kb("VmRSS")
    kept = once(target)  # what it returns stays in memory until the peak is read
    peak = _status_kb("VmHWM") - before
    del kept
    return peak / 1024


def _status_kb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(f"{name}:")).split()[1])
