# SPDX-License-Identifier: MIT
"""What `isocenter compile` writes: an independent model of the hardware plays the words and gives events.npz at the pins."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from isocenter.config.hardware import load_scanner

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops

GOLDEN = Path(__file__).parents[2] / "golden" / "pulseq"
SUPPORT = Path(__file__).parents[2] / "unit" / "devices" / "support"
SCANNERS = ["osii-one", "physio-72mT", "osii-mini"]
TSE = ["tse_3d", "-p", "n_read=32", "-p", "n_phase=8", "-p", "n_slab=4", "-p", "echo_train_length=4"]
GRE = ["gre_3d", "-p", "n_read=32", "-p", "n_phase=8", "-p", "n_slab=2"]
SPIN_ECHO = ["spin_echo_2d", "-p", "n_phase=4"]


def _helper(name: str) -> ModuleType:
    if str(SUPPORT) not in sys.path:
        sys.path.insert(0, str(SUPPORT))
    spec = importlib.util.spec_from_file_location(name, SUPPORT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


def _load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return dict(archive)


def _events_at_pins(table, segment: int, gradients, offset: int) -> list[tuple[int, str, int]]:
    """What events.npz says of one segment, read as --help describes it."""
    names = [key.removesuffix("_ticks") for key in table if key.endswith("_ticks") and key != "segment_end_ticks"]
    tracks = {}
    for name in names:
        mine = table[f"{name}_segment"] == segment
        if mine.any():
            tracks[name] = SimpleNamespace(ticks=table[f"{name}_ticks"][mine], values=table[f"{name}_values"][mine])
    return _helper("marcos_tables").expected_pins(SimpleNamespace(tracks=tracks), gradients, offset)


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize(
    "sequence",
    [
        ["fid"],
        ["localizer"],
        TSE,
        [*GRE, "--orientation", "coronal", "--tilt", "20,-10", "--centre", "10,-5,8"],
        SPIN_ECHO,
        [GOLDEN / "komamri/read_comparison_v1.4_fid.seq"],
        [GOLDEN / "komamri/read_comparison_v1.5_gr-uniformly-shaped.seq"],
        [GOLDEN / "komamri/basic_tests_v1.2_epi_JEMRIS.seq"],
        [GOLDEN / "pypulseq/seq_ext_only.seq"],
    ],
    ids=lambda value: Path(value[0]).stem,
)
def test_words_give_the_events_at_the_pins(sequence, scanner, isocenter, tmp_path: Path) -> None:
    model = _helper("marga_model")
    done = isocenter("compile", *sequence, "--scanner", scanner, "--out", tmp_path / "o", "--json")
    if done.code:  # this scanner is too weak for it; then it must say so
        assert sequence[0] == GOLDEN / "komamri/basic_tests_v1.2_epi_JEMRIS.seq", done.err
        assert scanner == "osii-one"
        assert "mT/m" in done.refused() or "T/m/s" in done.err
        return
    summary = json.loads((tmp_path / "o" / "compiled.json").read_text())
    assert summary == json.loads(done.out)
    table = _load(tmp_path / "o" / "events.npz")
    gradients = load_scanner(scanner).gradients
    assert len(list((tmp_path / "o").glob("*.words"))) == len(summary["segments"]) == len(table["segment_end_ticks"])
    n_changes = 0
    for index, item in enumerate(summary["segments"][:6]):
        words = np.fromfile(tmp_path / "o" / item["file"], dtype="<u4")
        trace = model.play(words)
        assert not trace.errors
        pins = sorted(pin for pin in trace.pins if not pin[1].startswith("lo0"))
        assert pins == _events_at_pins(table, index, gradients, summary["pin_cycle_offset"])
        n_changes += len(pins)
        lo = {name: value for cycle, name, value in trace.pins if name.startswith("lo0")}
        tuned_hz = (lo["lo0_msb"] & 0x7FFF) << 16 | lo["lo0_lsb"]
        assert tuned_hz * summary["clock_hz"] / 2**31 == pytest.approx(summary["lo_hz"], abs=0.1)
    assert n_changes > 1


def test_help_names_every_array(isocenter, tmp_path: Path) -> None:
    text = isocenter("compile", "--help").out
    assert isocenter("compile", "fid", "--out", tmp_path / "o").code == 0
    table = _load(tmp_path / "o" / "events.npz")
    for key in table:
        channel, _, kind = key.rpartition("_")
        known = key in text or (channel in text and f"NAME_{kind}" in text)
        assert known, key
    assert table["tx0_i_ticks"].dtype == np.int64
    assert table["tx0_i_values"].dtype == table["tx0_i_segment"].dtype == np.int32
