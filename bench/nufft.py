# SPDX-License-Identifier: MIT
"""The NUFFT and what is built on it, against sigpy, BART's commands and the bare engines.

BART runs as a command, so its time includes starting, reading and writing files: whoever calls it waits for that too.
Each transform is checked against exact sums on a random subset before the clock starts.
"""

import importlib.util
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from bench.measure import Row, absolute, compare, seconds
from isocenter.recon.nufft.density import spoke_weights
from isocenter.recon.nufft.encoder import Encoder
from isocenter.recon.nufft.inverse import Grid, InverseOptions, Method, Samples, invert
from isocenter.recon.nufft.offresonance import split_field
from isocenter.recon.nufft.petra import joined, petra_weights
from isocenter.recon.nufft.transform import Nufft, warm_up

GATE = 3e-4


def radial(n_spokes: int, n_samples: int) -> np.ndarray:
    """Spokes of a 2D scan [cycles per voxel], shape (n_spokes, n_samples, 2)."""
    angle = np.pi * np.arange(n_spokes) / n_spokes
    radius = (np.arange(n_samples) - n_samples // 2) / n_samples
    return radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)[:, None]


def kooshball(n_spokes: int, radius: np.ndarray) -> np.ndarray:
    """Half spokes, evenly spread, shape (n_spokes, n_samples, 3)."""
    i = np.arange(n_spokes) + 0.5
    polar, azimuth = np.arccos(1 - 2 * i / n_spokes), np.pi * (1 + 5**0.5) * i
    direction = np.stack([np.cos(polar), np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth)], axis=1)
    return direction[:, None] * radius[:, None]


def noise(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Complex normal numbers."""
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def exact_errors(transform: Nufft, points: np.ndarray, image: np.ndarray, samples: np.ndarray) -> tuple[float, float]:
    """Relative errors of forward and adjoint on a few dozen samples and voxels, against sums in double precision."""
    rng, shape = np.random.default_rng(5), transform.shape
    some = rng.integers(0, len(points), 48)
    expected = Nufft(points[some], shape, (1.0,) * len(shape), engine="exact").forward(image)
    forward = np.linalg.norm(transform.forward(image)[some] - expected) / np.linalg.norm(expected)
    voxels = rng.integers(0, np.array(shape), (24, len(shape)))
    places = voxels - np.array(shape) // 2
    sums = np.array([np.sum(samples * np.exp(-2j * np.pi * (points @ place))) for place in places])
    adjoint = np.linalg.norm(transform.adjoint(samples)[tuple(voxels.T)] - sums) / np.linalg.norm(sums)
    return float(forward), float(adjoint)


def _missing(what: str, peer: str, ours: Callable[[], object], target: str) -> Row:
    """Our own time, when there is nobody to compare with."""
    ours()
    figure = sorted(seconds(ours) for _ in range(5))[2]
    return Row(
        what=what,
        peer=f"{peer} IS NOT INSTALLED",
        ours_s=figure,
        peer_s=float("nan"),
        ratio="no peer",
        target=target,
        reached=False,
        checked="our own time only",
    )


# --- peers


class Bart:
    """BART's commands on files in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, array: np.ndarray) -> None:
        """An array whose axes are in BART's order reversed, as C order has it."""
        (self._folder / f"{name}.hdr").write_text("# Dimensions\n" + " ".join(map(str, array.shape[::-1])) + "\n")
        np.ascontiguousarray(array, dtype=np.complex64).tofile(self._folder / f"{name}.cfl")

    def write_points(self, points: np.ndarray, shape: tuple[int, ...]) -> None:
        """Positions: x first, in units of one over the field of view; BART's forward transform has the other sign."""
        pixels = -points[..., ::-1] * np.array(shape[::-1])
        three = np.zeros((*pixels.shape[:-1], 3))
        three[..., : pixels.shape[-1]] = pixels
        self.write("traj", three)

    def run(self, *arguments: str) -> None:
        """One command."""
        subprocess.run(["bart", *arguments], cwd=self._folder, check=True, capture_output=True, timeout=300)

    def read(self, name: str) -> np.ndarray:
        """A result, C order, without axes of one at its front."""
        shape = tuple(int(n) for n in (self._folder / f"{name}.hdr").read_text().splitlines()[1].split())
        return np.fromfile(self._folder / f"{name}.cfl", dtype=np.complex64).reshape(shape[::-1]).squeeze()


def _agree(theirs: np.ndarray, ours: np.ndarray, peer: str, limit: float = 0.02) -> None:
    """The peer computes the same thing up to a factor, or the comparison means nothing."""
    factor = np.vdot(theirs, ours) / np.vdot(theirs, theirs)
    error = np.linalg.norm(factor * theirs - ours) / np.linalg.norm(ours)
    if not error < limit:
        raise AssertionError(f"{peer} gives something else: {error:.3g} apart")


def _transforms(what: str, points: np.ndarray, shape: tuple[int, ...], rounds: int) -> Iterator[Row]:
    """Forward and adjoint of one trajectory against everybody."""
    rng = np.random.default_rng(1)
    flat, voxels = points.reshape(-1, len(shape)), (1.0,) * len(shape)
    image, samples = noise(rng, *shape), noise(rng, len(flat))
    transform = Nufft(flat, shape, voxels)
    errors = exact_errors(transform, flat, image, samples)
    if max(errors) > GATE:
        raise AssertionError(f"{what}: errors of {errors} are above the gate")
    works = {"forward": lambda: transform.forward(image), "adjoint": lambda: transform.adjoint(samples)}
    for (direction, ours), error in zip(works.items(), errors, strict=True):
        checked = f"{transform.engine}: error {error:.0e} of exact sums, 48 samples, 24 voxels"
        title = f"{what}, {direction}"
        yield _against_sigpy(title, direction, ours, flat, image, samples, checked, rounds)
        yield _against_bart(title, direction, ours, points, image, samples, checked, rounds)
    yield from _against_bare(what, flat, shape, image, samples, works)


def _against_sigpy(title, direction, ours, flat, image, samples, checked, rounds) -> Row:
    if importlib.util.find_spec("sigpy") is None:
        return _missing(title, "sigpy", ours, ">= 20x")
    import sigpy

    coordinates = (-flat * np.array(image.shape)).astype(np.float32)
    peer = (
        (lambda: sigpy.nufft(image, coordinates))
        if direction == "forward"
        else (lambda: sigpy.nufft_adjoint(samples, coordinates, oshape=image.shape))
    )
    _agree(peer(), ours(), "sigpy")
    return compare(title, ours, "sigpy", peer, target=20, checked=checked, rounds=rounds)


def _against_bart(title, direction, ours, points, image, samples, checked, rounds) -> Row:
    if shutil.which("bart") is None:
        return _missing(title, "BART", ours, ">= 20x")
    with tempfile.TemporaryDirectory() as folder:
        bart = Bart(Path(folder))
        bart.write_points(points, image.shape)
        bart.write("image", image)
        bart.write("samples", samples.reshape(*points.shape[:-1], 1))
        sizes = ":".join(str(n) for n in (*image.shape[::-1], 1, 1)[:3])
        if direction == "forward":
            arguments = ("nufft", "traj", "image", "out")
        else:
            arguments = ("nufft", "-a", "-d", sizes, "traj", "samples", "out")
        bart.run(*arguments)
        _agree(bart.read("out").reshape(-1), ours().reshape(-1), "BART")
        peer = lambda: bart.run(*arguments)  # noqa: E731
        return compare(title, ours, "bart nufft, with its files", peer, target=20, checked=checked, rounds=rounds)


def _against_bare(what, flat, shape, image, samples, works) -> Iterator[Row]:
    """How much the seam and our engine cost over a library called by itself, at the same requested error."""
    for library in ("finufft", "ducc0"):
        if importlib.util.find_spec(library) is None:
            if library == "finufft":
                yield _missing(f"{what}, forward", "finufft", works["forward"], "<= 1.2x")
            continue
        forward, adjoint = _bare(library, flat, shape)
        for direction, ours, peer in (
            ("forward", works["forward"], lambda forward=forward: forward(image)),
            ("adjoint", works["adjoint"], lambda adjoint=adjoint: adjoint(samples)),
        ):
            row = compare(
                f"{what}, {direction}", ours, f"bare {library}, 1e-4", peer, target=1, checked="same arrays", rounds=7
            )
            over = row.ours_s / row.peer_s
            yield Row(
                what=row.what,
                peer=row.peer,
                ours_s=row.ours_s,
                peer_s=row.peer_s,
                ratio=f"{over:.2f} of it",
                target="<= 1.2",
                reached=over <= 1.2,
                checked="same result within 1e-3",
            )


def _bare(library: str, flat: np.ndarray, shape: tuple[int, ...]):
    if library == "finufft":
        import finufft

        angles = [np.ascontiguousarray(2 * np.pi * flat[:, axis], dtype=np.float32) for axis in range(len(shape))]
        to_samples = finufft.Plan(2, shape, 1, 1e-4, 1, dtype="complex64", upsampfac=1.25)
        to_image = finufft.Plan(1, shape, 1, 1e-4, -1, dtype="complex64", upsampfac=1.25)
        to_samples.setpts(*angles), to_image.setpts(*angles)
        return to_samples.execute, to_image.execute
    import ducc0

    n = os.cpu_count() or 1
    plan = ducc0.nufft.plan(
        nu2u=True, coord=flat.astype(np.float32), grid_shape=shape, epsilon=1e-4, nthreads=n, periodicity=1.0
    )
    return (lambda x: plan.u2nu(grid=x, forward=False)), (lambda s: plan.nu2u(points=s, forward=True))


# --- beside a busy core


@contextmanager
def busy_core() -> Iterator[None]:
    """Another process that transforms all the time."""
    code = "import numpy as np\nx = np.ones((256, 256), complex)\nwhile True: x = np.fft.fft2(x) / 256"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        time.sleep(1.0)
        yield
    finally:
        process.kill()
        process.wait(10)


def _busy(what: str, points: np.ndarray, shape: tuple[int, ...]) -> Row:
    flat = points.reshape(-1, len(shape))
    transform, samples = Nufft(flat, shape, (1.0,) * len(shape)), noise(np.random.default_rng(2), len(flat))
    work = lambda: transform.adjoint(samples)  # noqa: E731
    work()
    quiet = sorted(seconds(work) for _ in range(5))[2]
    with busy_core():
        busy = sorted(seconds(work) for _ in range(5))[2]
    return Row(
        what=f"{what}, adjoint, another core busy",
        peer="the same on a quiet machine",
        ours_s=busy,
        peer_s=quiet,
        ratio=f"{busy / quiet:.1f}x as long",
        target="<= 2.5x",
        reached=busy <= 2.5 * quiet,
        checked="same arrays",
    )


# --- least squares


def _ellipses(shape: tuple[int, ...]) -> np.ndarray:
    """A head of sorts, sampled at the middle of each voxel."""
    axes = np.ix_(*((np.arange(n) + 0.5 - n / 2) / n for n in shape))
    image = np.zeros(shape)
    for value, centre, radius in (
        (1.0, (0.0, 0.0, 0.0), (0.42, 0.36, 0.4)),
        (-0.4, (0.0, 0.0, 0.0), (0.38, 0.32, 0.36)),
        (0.5, (0.1, -0.12, 0.05), (0.08, 0.06, 0.1)),
        (0.3, (-0.15, 0.1, -0.1), (0.1, 0.05, 0.08)),
        (-0.3, (-0.02, 0.15, 0.1), (0.05, 0.12, 0.1)),
    ):
        distance = sum(((x - c) / r) ** 2 for x, c, r in zip(axes, centre, radius, strict=False))
        image += value * (distance < 1)
    return image.astype(np.complex64)


def _cg_sense() -> Iterator[Row]:
    shape, points = (256, 256), radial(402, 512)
    flat = points.reshape(-1, 2)
    y, x = np.mgrid[-0.5:0.5:256j, -0.5:0.5:256j]
    coils = np.stack(
        [np.exp(-2 * ((x - 0.5 * np.cos(a)) ** 2 + (y - 0.5 * np.sin(a)) ** 2) + 1j * a) for a in np.arange(4) * np.pi / 2]
    ).astype(np.complex64)
    coils /= np.linalg.norm(coils, axis=0)
    truth = _ellipses(shape)
    engine = "finufft" if importlib.util.find_spec("finufft") else "numba"
    tolerance = 1e-5 if engine == "finufft" else 1e-4
    values = Nufft(flat, shape, (1.0, 1.0), engine=engine, tolerance=tolerance).forward(coils * truth)
    values += 0.005 * np.abs(values).std() * noise(np.random.default_rng(3), *values.shape)
    weights = spoke_weights(points, (1.0, 1.0))
    samples = Samples(values=values, points_per_m=flat, weights=weights.reshape(-1))
    options = InverseOptions(method=Method.CG_SENSE, n_iterations=10, tolerance=0.0)
    grid = Grid(shape=shape, voxel_m=(1.0, 1.0))

    def ours() -> np.ndarray:
        return invert(samples, grid, options=options, coils=coils).image

    def error(image: np.ndarray) -> float:
        image = image * (np.vdot(image, truth) / np.vdot(image, image))
        return float(np.linalg.norm(image - truth) / np.linalg.norm(truth))

    mine, what = error(ours()), "CG-SENSE radial 256², 4 coils, 10 iterations"
    yield from _against_pics(what, ours, error, points, values, coils)
    if importlib.util.find_spec("sigpy") is None:
        yield _missing(what, "sigpy", ours, ">= 25x")
        return
    import sigpy.mri

    coordinates = (-flat * np.array(shape)).astype(np.float32)

    def sense() -> np.ndarray:
        app = sigpy.mri.app.SenseRecon(
            values, coils, coord=coordinates, weights=weights.reshape(-1).astype(np.float32), max_iter=10, show_pbar=False
        )
        return np.asarray(app.run())

    theirs = error(sense())
    yield _equal(compare(what, ours, "sigpy SenseRecon", sense, target=25, checked="", rounds=3), mine, theirs)


def _against_pics(what, ours, error, points, values, coils) -> Iterator[Row]:
    """On a quiet machine, and both beside a process that keeps one core busy."""
    if shutil.which("bart") is None:
        yield _missing(what, "BART", ours, ">= 15x")
        return
    mine = error(ours())
    with tempfile.TemporaryDirectory() as folder:
        bart = Bart(Path(folder))
        bart.write_points(points, coils.shape[1:])
        bart.write("samples", values.reshape(len(coils), *points.shape[:-1], 1))
        bart.write("coils", coils[:, None])
        peer = lambda: bart.run("pics", "-S", "-l2", "-r0", "-i10", "-t", "traj", "samples", "coils", "out")  # noqa: E731
        peer()
        theirs = error(bart.read("out"))
        row = compare(what, ours, "bart pics, with its files", peer, target=15, checked="", rounds=5)
        yield _equal(row, mine, theirs)
        with busy_core():
            title = f"{what}, another core busy"
            row = compare(title, ours, "bart pics, also beside it", peer, target=15, checked="", rounds=5)
        yield _equal(row, mine, theirs)


def _equal(row: Row, mine: float, theirs: float) -> Row:
    """The row, if our image is no worse than theirs."""
    return Row(
        what=row.what,
        peer=row.peer,
        ours_s=row.ours_s,
        peer_s=row.peer_s,
        ratio=row.ratio,
        target=row.target,
        reached=row.reached and mine <= theirs * 1.02,
        checked=f"NRMSE ours {mine:.4f}, theirs {theirs:.4f}",
    )


def _petra() -> Iterator[Row]:
    """64³ with a field of 3.9 kHz: measured on a grid of half the voxel size, so that the model is not the truth's own."""
    n, hidden = 64, 2.6
    along = kooshball(12_000, np.linspace(hidden, 32, 32) / n)
    span = range(-2, 3)
    ball = np.array([(a, b, c) for a in span for b in span for c in span if a * a + b * b + c * c <= hidden**2]) / n
    grid = Grid(shape=(n,) * 3, voxel_m=(1.0,) * 3)
    weights = petra_weights(along, ball, grid)
    fine = _ellipses((2 * n,) * 3)
    z, y, x = np.ogrid[-0.5 : 0.5 : 2j * n, -0.5 : 0.5 : 2j * n, -0.5 : 0.5 : 2j * n]
    b0_fine = (x * y * 2 + z**2 - 0.1 + 0.3 * x) * np.ones_like(fine.real)
    b0_fine *= 3900 / np.ptp(b0_fine)
    start_s = 100e-6
    times = np.tile(start_s + np.arange(32) * 12.5e-6, 12_000), np.full(len(ball), start_s)
    parts = []
    for points, weight, time_s in zip((along.reshape(-1, 3), ball), weights, times, strict=True):
        # A fine voxel's middle lies a quarter of a voxel before that of the coarse one whose first half it is.
        measure = Encoder(
            Nufft(points * 0.5, fine.shape, (1.0,) * 3, tolerance=1e-4), field=split_field(b0_fine, time_s, tolerance=1e-4)
        )
        shift = np.exp(2j * np.pi * points.sum(axis=1) * -0.25)
        values = (measure.forward(fine) * shift / 8).astype(np.complex64)[None]
        parts.append(Samples(values=values, points_per_m=points, weights=weight.reshape(-1), time_s=time_s))
    samples = joined(*parts)
    blocks = fine.reshape(n, 2, n, 2, n, 2)
    truth, b0_hz = blocks.mean(axis=(1, 3, 5)), b0_fine.reshape(n, 2, n, 2, n, 2).mean(axis=(1, 3, 5))

    def error(method: Method, field_hz: np.ndarray | None) -> float:
        image = invert(samples, grid, options=InverseOptions(method=method, tolerance=0.0), b0_hz=field_hz).image
        return float(np.linalg.norm(np.abs(image) - np.abs(truth)) / np.linalg.norm(truth))

    gridding, plain, corrected = error(Method.GRIDDING, None), error(Method.CG, None), error(Method.CG, b0_hz)
    if not corrected < min(gridding, plain):
        raise AssertionError(f"PETRA: error {corrected:.3f}, gridding {gridding:.3f}, without the field {plain:.3f}")
    checked = f"NRMSE {corrected:.3f}; without the field {plain:.3f}, gridding {gridding:.3f}"
    for what, field_hz in (("PETRA 64³, 10 iterations, 3.9 kHz off-resonance", b0_hz), ("PETRA 64³, 10 iterations", None)):
        work = partial(invert, samples, grid, options=InverseOptions(tolerance=0.0), b0_hz=field_hz)
        yield absolute(what, min(seconds(work) for _ in range(3)), target_s=3.0, checked=checked)


def _first_use() -> Row:
    """Compilation in a process of its own with an empty cache."""
    code = (
        "import time; from isocenter.recon import compiled; from isocenter.recon.nufft import transform\n"
        "start = time.perf_counter(); compiled.warm_up(); transform.warm_up(); print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True, timeout=120
        )
    return absolute(
        "first use of FFT, magnitude and NUFFT on a machine (compiling)",
        float(run.stdout),
        target_s=10.0,
        checked="fresh cache",
    )


def run() -> list[Row]:
    """All rows of the NUFFT."""
    warm_up()
    koosh = kooshball(50_000, np.arange(64) / 128)
    assert math.prod(koosh.shape[:2]) == 3_200_000
    return [
        *_transforms("NUFFT radial 402 x 512 to 256²", radial(402, 512), (256, 256), 5),
        *_transforms("NUFFT kooshball 3.2 M to 128³", koosh, (128, 128, 128), 2),
        _busy("NUFFT radial 402 x 512 to 256²", radial(402, 512), (256, 256)),
        _busy("NUFFT kooshball 3.2 M to 128³", koosh, (128, 128, 128)),
        *_cg_sense(),
        *_petra(),
        _first_use(),
    ]
