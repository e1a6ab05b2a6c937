# SPDX-License-Identifier: MIT
"""Built sequences as pypulseq reads them back, with the k-space that it computes."""

import numpy as np
import pypulseq as pp
import pytest

from isocenter.config.hardware import load_scanner
from isocenter.sequences.build import build


def read(built, tmp_path):
    path = tmp_path / "a.seq"
    path.write_bytes(built.seq)
    seq = pp.Sequence()
    seq.read(str(path))
    return seq


class Scan:
    """k-space, times and labels of every readout of a built sequence, a reference train apart."""

    def __init__(self, name, values, scanner, tmp_path):
        self.built = build(name, values, load_scanner(scanner))
        seq = read(self.built, tmp_path)
        k, _, self.excited_s, self.refocused_s, t = seq.calculate_kspace()
        self.labels = {key: np.asarray(value) for key, value in seq.evaluate_labels(evolution="adc").items()}
        count = len(self.labels[next(iter(self.labels))])
        self.k = k.reshape(3, count, -1)
        self.t = t.reshape(count, -1)
        is_reference = self.labels.get("REF", np.zeros(count)) != 0
        self.reference_k, self.reference_t = self.k[:, is_reference], self.t[is_reference]
        self.reference_labels = {key: value[is_reference] for key, value in self.labels.items()}
        self.k, self.t = self.k[:, ~is_reference], self.t[~is_reference]
        self.labels = {key: value[~is_reference] for key, value in self.labels.items()}

    def check_grid(self, fov, matrix):
        n = np.array(matrix)
        wanted = np.zeros_like(self.k)
        wanted[0] = (np.arange(n[0]) - n[0] // 2) / fov[0]
        wanted[1] = ((self.labels["LIN"] - n[1] // 2) / fov[1])[:, None]
        if "PAR" in self.labels:
            wanted[2] = ((self.labels["PAR"] - n[2] // 2) / fov[2])[:, None]
        # amplitudes are written with six digits
        np.testing.assert_allclose(self.k, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max() + 0.01)


@pytest.fixture
def read_back(tmp_path):
    return lambda built: read(built, tmp_path)


@pytest.fixture
def kspace_of(tmp_path):
    return lambda name, values, scanner: Scan(name, values, scanner, tmp_path)
