# SPDX-License-Identifier: MIT
"""From raw data to magnitude images, against the usual numpy lines; memory of a large volume; pictures while scanning.

The peer is what people write: h5py, one line after the other onto a grid of complex128, shift, ``fftn``, shift, ``abs``. It
reads the same file.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from bench.measure import Row, absolute, compare, seconds
from isocenter.domain.raw import RawScan
from isocenter.domain.scan import EndReason
from isocenter.recon.cartesian import LiveReconstruction, reconstruct
from isocenter.recon.compiled import warm_up
from isocenter.storage.scan_folder import ScanFolder
from isocenter.storage.stored import read_raw

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit" / "storage"))
import examples  # a small scan made by hand

N_READ, N_LIN, N_PAR = 128, 128, 64
TRAIN = 8
_GATE = 1e-6
_MOST_MEMORY = 2.5


def _file(parent: Path) -> Path:
    """A raw file of a 3D scan, without readout oversampling, so that the peer may leave it out too."""
    scan = examples.make_scan(N_LIN, N_PAR, N_READ)
    scan.definitions.pop("Matrix")
    folder = ScanFolder.create(parent, examples.make_request(), scan, b"")
    folder.append(scan.readouts, _kspace_lines(scan.readouts.labels))
    folder.finish(EndReason.COMPLETED)
    folder.close()
    return folder.path


def _kspace_lines(labels: dict[str, NDArray[np.int32]]) -> NDArray[np.complex64]:
    """K-space of a box and some noise, one line a readout."""
    rng = np.random.default_rng(1)
    box = np.zeros((N_PAR, N_LIN, N_READ))
    box[12:50, 30:100, 25:90] = 1
    kspace = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(box))) + 1e-6 * rng.normal(size=box.shape)
    return kspace[labels["PAR"], labels["LIN"]].astype(np.complex64)


def _ours(folder: Path) -> NDArray[np.float32]:
    (volume,) = reconstruct(read_raw(folder))
    return volume.data


def _theirs(folder: Path) -> NDArray[np.float64]:
    with h5py.File(folder / "raw.h5") as file:
        rows = file["dataset/data"][:]
    kspace = np.zeros((N_PAR, N_LIN, N_READ), dtype=np.complex128)
    for row in rows:
        index = row["head"]["idx"]
        kspace[index["kspace_encode_step_2"], index["kspace_encode_step_1"]] = row["data"].view(np.complex64)
    return _idiom(kspace)


def _sorted_idiom(raw: RawScan) -> NDArray[np.float64]:
    kspace = np.zeros((N_PAR, N_LIN, N_READ), dtype=np.complex128)
    kspace[raw.labels["PAR"], raw.labels["LIN"]] = raw.samples[:, 0]
    return _idiom(kspace)


def _idiom(kspace: NDArray[np.complex128]) -> NDArray[np.float64]:
    return np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(kspace))))


def _same(ours: NDArray[np.float32], theirs: NDArray[np.float64]) -> float:
    """Largest difference over the largest value, whichever way round ours is displayed."""
    found = []
    for axes in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        turned = theirs.transpose(axes)
        if turned.shape == ours.shape:
            found += [float(np.abs(turned[::a, ::b, ::c] - ours).max()) for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    return min(found) / float(theirs.max())


def run() -> list[Row]:
    """Raw file to magnitude, samples to magnitude, memory, and pictures while scanning."""
    warm_up()  # as the program's worker does before the first scan
    with tempfile.TemporaryDirectory() as name:
        folder = _file(Path(name))
        error = _same(_ours(folder), _theirs(folder))
        assert error < _GATE, f"our image differs by {error:.1e} from complex128"
        raw = read_raw(folder)
        checked = f"differs by {error:.0e} of the maximum"
        size = f"{N_READ}x{N_LIN}x{N_PAR}"
        return [
            compare(
                f"raw file to magnitude {size}",
                lambda: _ours(folder),
                "h5py + numpy complex128 idiom",
                lambda: _theirs(folder),
                target=5,
                checked=checked,
                rounds=9,
            ),
            compare(
                f"readouts in memory to magnitude {size}",
                lambda: reconstruct(raw),
                "numpy: sort at once, complex128 idiom",
                lambda: _sorted_idiom(raw),
                target=3,
                checked=checked,
                rounds=15,
            ),
            _memory(),
            *_live(),
        ]


_CHILD = """
import resource, sys
import numpy as np
sys.path[:0] = {path!r}
import bench.recon as bench
bench.warm_up()
raw = bench.large(256)
bench.reconstruct(bench.large(16))  # everything is imported
before = bench.peak_bytes()
bench.reconstruct(raw)
print((bench.peak_bytes() - before) / raw.samples.nbytes + 1)
"""


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def large(n: int) -> RawScan:
    """A volume of n to the third, as readouts in an arbitrary order."""
    scan = examples.make_scan(n, n, n)
    order = np.random.default_rng(1).permutation(n * n)
    samples = np.empty((n * n, 1, n), dtype=np.complex64)
    samples[:] = order[:, np.newaxis, np.newaxis]
    return RawScan(
        samples=samples,
        labels={name: scan.readouts.labels[name][order] for name in ("LIN", "PAR")},
        dwell_s=1e-5,
        lo_hz=2e6,
        encoding=scan.encoding,
        placement=examples.make_request().placement,
        facts=scan.facts,
        n_expected=n * n,
    )


def _memory() -> Row:
    path = [str(Path(__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, "-c", _CHILD.format(path=path)], capture_output=True, text=True, check=True, cwd=path[0]
    )
    ratio = float(done.stdout)
    return Row(
        what="256x256x256 complex64, peak memory",
        peer="the readouts themselves",
        ours_s=float("nan"),
        peer_s=float("nan"),
        ratio=f"{ratio:.2f}x",
        target=f"<= {_MOST_MEMORY:g}x",
        reached=ratio <= _MOST_MEMORY,
        checked="resident set of a fresh process, readouts included",
    )


def _live() -> list[Row]:
    """A picture after every shot of 8 lines of 128 x 128 x 32 with readout oversampling of 2."""
    scan = examples.make_scan(128, 32, 256)
    samples = examples.make_samples(scan)[:, np.newaxis]
    labels = scan.readouts.labels
    placement = examples.make_request().placement
    live = LiveReconstruction(scan.encoding, placement, definitions=scan.definitions)
    times = []
    for first in range(0, len(samples), TRAIN):
        rows = slice(first, first + TRAIN)

        def step(rows: slice = rows) -> None:
            live.add(samples[rows], {name: values[rows] for name, values in labels.items()})
            live.volumes(expected=len(samples))

        times.append(seconds(step))
    (last,) = live.volumes()
    raw = RawScan(
        samples=samples,
        labels=labels,
        dwell_s=1e-5,
        lo_hz=2e6,
        encoding=scan.encoding,
        placement=placement,
        facts=None,
        definitions=scan.definitions,
    )
    np.testing.assert_array_equal(last.data, reconstruct(raw)[0].data)
    return [
        absolute(
            "last sample of a shot to a new picture, 128x128x32, 19 of 20 shots",
            float(np.quantile(times[1:], 0.95)),
            target_s=0.2,
            checked=f"after each of {len(times)} shots; the last picture equals the whole reconstruction; "
            f"median {1e3 * float(np.median(times)):.0f} ms, worst {1e3 * max(times[1:]):.0f} ms",
        )
    ]
