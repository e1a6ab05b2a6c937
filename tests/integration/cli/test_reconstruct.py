# SPDX-License-Identifier: MIT
"""`isocenter reconstruct` on k-space of other programs."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops

GOLDEN = Path(__file__).parents[2] / "golden"


def _correlation(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1])


@pytest.mark.parametrize("contrast", ["fse", "gre", "flair"])
def test_published_heads_come_out_as_published(contrast, isocenter, tmp_path: Path) -> None:
    source = GOLDEN / "ulf" / f"{contrast}_kspace.mat"
    result = isocenter(
        "reconstruct", source, "--variable", "kspace", "--matrix", "256x256", "--out", tmp_path / "o", "--json"
    )
    assert result.code == 0, result.err
    files = [Path(name) for name in json.loads(result.out)["files"]]
    assert {path.suffix for path in files} == {".npy", ".gz", ".png", ".json"}
    ours = np.load(next(path for path in files if path.suffix == ".npy"))
    published = np.load(GOLDEN / "ulf" / "published_magnitude.npz")[contrast].transpose(2, 0, 1)
    best = max(_correlation(ours[:, ::down, ::right], published) for down in (1, -1) for right in (1, -1))
    assert best >= 0.9995


def test_axes_that_data_cannot_tell_are_asked_for_and_taken(isocenter, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    kspace = rng.normal(size=(2, 3, 20, 24)) * 0.01 + 0j
    kspace[0, 0, 10, 12] = 5.0
    kspace[1, 2, 10, 12] = 5.0
    np.save(tmp_path / "k.npy", kspace[:, None].repeat(2, axis=1))
    asked = isocenter("reconstruct", tmp_path / "k.npy", "--out", tmp_path / "o").refused()
    assert "--axes" in asked
    assert "--channel-axis" in asked
    assert not (tmp_path / "o").exists()
    np.save(tmp_path / "k.npy", kspace)
    done = isocenter("reconstruct", tmp_path / "k.npy", "--axes", "2,3", "--channel-axis", "1", "--out", tmp_path / "o")
    assert done.code == 0, done.err
    assert np.load(tmp_path / "o" / "k.npy").shape == (2, 20, 24)
    np.save(tmp_path / "k.npy", kspace)
    other = isocenter("reconstruct", tmp_path / "k.npy", "--axes", "3,2", "--channel-axis", "0", "--out", tmp_path / "p")
    assert other.code == 0, other.err
    assert np.load(tmp_path / "p" / "k.npy").shape == (3, 24, 20)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--axes", "a"], "'a' does not name axes"),
        (["--axes", "0"], "'0' does not name axes"),
        (["--axes", "0,9"], "do not fit an array"),
        (["--matrix", "nan"], "'nan' is not a matrix"),
        (["--matrix", "99999x9"], "99999x9 is not possible"),
        (["--matrix", "0x0"], "0x0 is not possible"),
        (["--variable", "image"], "has no variable 'image'.*kspace"),
        (["--filter", "hann"], "filter or a pipeline needs to know"),
    ],
)
def test_nonsense_is_refused_and_leaves_nothing(arguments, words, isocenter, tmp_path: Path) -> None:
    source = GOLDEN / "ulf" / "fse_kspace.mat"
    said = isocenter("reconstruct", source, *arguments, "--out", tmp_path / "o").refused()
    assert re.search(words, said), said
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_raw_data_is_refused(isocenter, tmp_path: Path) -> None:
    (tmp_path / "text.mat").write_text("hello")
    (tmp_path / "short.mat").write_bytes((GOLDEN / "ulf" / "fse_kspace.mat").read_bytes()[:5000])
    out = tmp_path / "o"
    assert "is not a MATLAB" in isocenter("reconstruct", tmp_path / "text.mat", "--out", out).refused()
    assert "is damaged" in isocenter("reconstruct", tmp_path / "short.mat", "--out", out).refused()
    assert "is not a scan" in isocenter("reconstruct", tmp_path, "--out", out).refused()
    assert "There is no" in isocenter("reconstruct", tmp_path / "no.mat").refused()
    assert "Add --out" in isocenter("reconstruct", GOLDEN / "ulf" / "fse_kspace.mat").refused()
    assert not out.exists()


def test_sensors_of_the_same_file_take_interference_out(isocenter, tmp_path: Path) -> None:
    rng = np.random.default_rng(9)

    def noise(*shape):
        return rng.normal(size=shape) + 1j * rng.normal(size=shape)

    image = np.zeros((96, 64))
    image[40:60, 20:40] = 1.0
    clean = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image))) + 0.1 * noise(96, 64)
    source = 8 * noise(96, 64)
    np.savez(tmp_path / "ward.npz", coil=clean + source, loop=2j * source + 0.1 * noise(96, 64))
    pictures = {}
    for name, sensors in (("heard", []), ("cleaned", ["--sensors", "loop"])):
        run = isocenter("reconstruct", tmp_path / "ward.npz", "--variable", "coil", *sensors, "--out", tmp_path / name)
        assert run.code == 0, run.err
        pictures[name] = np.load(tmp_path / name / "ward.npy")[0]
    assert "taken out" in run.out
    outside = np.ones((96, 64), bool)
    outside[30:70, 15:45] = False
    assert pictures["cleaned"][outside].mean() < 0.1 * pictures["heard"][outside].mean()


def test_the_opposite_sign_turns_the_pictures_about_their_centre(isocenter, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    image = np.pad(rng.random((10, 8)), ((14, 8), (9, 15)))
    np.save(tmp_path / "k.npy", np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image))))
    for name, sign in (("forward", []), ("inverse", ["--inverse"])):
        run = isocenter("reconstruct", tmp_path / "k.npy", *sign, "--out", tmp_path / name)
        assert run.code == 0, run.err
    forward, inverse = (np.load(tmp_path / name / "k.npy")[0] for name in ("forward", "inverse"))
    assert _correlation(inverse, image) > 0.9999
    assert _correlation(np.roll(forward[::-1, ::-1], (1, 1), (0, 1)), image) > 0.9999
