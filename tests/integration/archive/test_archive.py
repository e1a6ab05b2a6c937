# SPDX-License-Identifier: MIT
"""A folder of scans, some of them hopeless, reconstructed by real processes and by a real Dask scheduler and worker."""

import importlib.util
import json
import os
import warnings
from pathlib import Path
from threading import Event

import pytest
from click.testing import CliRunner

from isocenter.app.archive import ArchiveJob, find_archive, reconstruct_archive, run_here
from isocenter.app.cluster import run_on
from isocenter.app.reconstruct import ReconOrder
from isocenter.cli.main import cli
from isocenter.domain.errors import ConfigError, ConnectError, StorageError
from isocenter.domain.scan import EndReason
from isocenter.storage.scan_folder import ScanFolder

spec = importlib.util.spec_from_file_location(
    "storage_examples", Path(__file__).parents[2] / "unit" / "storage" / "examples.py"
)
examples = importlib.util.module_from_spec(spec)
spec.loader.exec_module(examples)


class Fatal:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (9,)


def add_scan(parent, *, is_cut=False):
    scan = examples.make_scan(n_lin=12, n_par=6, n_samples=32)
    folder = ScanFolder.create(parent, examples.make_request(), scan, examples.SEQUENCE)
    folder.append(scan.readouts.slice(0, 36), examples.make_samples(scan)[:36])
    folder.finish(EndReason.ABORTED)
    if is_cut:
        (folder.path / "raw.h5").write_bytes((folder.path / "raw.h5").read_bytes()[:2000])
    return folder.path


@pytest.fixture
def archive(tmp_path):
    """Two scans at different depths, one that is cut off, one hidden, and things that are no scans."""
    root = tmp_path / "archive"
    add_scan(root / "2026" / "january")
    add_scan(root / "2026", is_cut=True)
    add_scan(root)
    add_scan(root / ".trash")
    (root / "notes.txt").write_text("hello")
    return root


def test_every_scan_is_found_and_one_that_fails_stops_no_other(archive):
    told = []
    items = reconstruct_archive(
        archive,
        None,
        ReconOrder(),
        run=run_here(2),
        cancel=Event(),
        on_done=lambda item, n, of: told.append((item.name, n, of)),
    )
    assert [item.name for item in items] == sorted(str(path.relative_to(archive)) for path in find_archive(archive))
    assert [item.is_done for item in items] == [True, False, True]
    assert "Only 36 of 72 readouts" in items[0].text
    assert all(Path(path).is_file() for path in items[0].files)
    assert "raw data" in items[1].text
    assert items[1].remedy
    assert sorted(name for name, _, _ in told) == sorted(item.name for item in items)
    assert [(n, of) for _, n, of in told] == [(1, 3), (2, 3), (3, 3)]


def test_images_elsewhere_keep_the_places_of_the_archive(archive, tmp_path):
    out = tmp_path / "images"
    items = reconstruct_archive(archive, out, ReconOrder(), run=run_here(1), cancel=Event())
    for item in items:
        assert (out / item.name / "contact-sheet.png").is_file() == item.is_done
    assert not list(archive.rglob("contact-sheet.png"))


def test_a_scan_that_takes_its_process_down_is_found_and_the_others_are_done(archive):
    paths = [path for path in find_archive(archive) if path.parent != archive / "2026"]
    jobs = [ArchiveJob(name=str(i), scan=path, out=None, order=ReconOrder()) for i, path in enumerate(paths)]
    jobs.insert(1, ArchiveJob(name="fatal", scan=paths[0], out=None, order=Fatal()))
    items = {item.name: item for item in run_here(2)(jobs, Event())}
    assert {name: item.is_done for name, item in items.items()} == {"0": True, "fatal": False, "1": True}
    assert "ended all at once" in items["fatal"].text


def test_a_mistake_of_the_program_is_told_and_stops_nothing(archive):
    path = find_archive(archive)[0]
    wrong = ArchiveJob(name="wrong", scan=path, out=None, order=None)
    right = ArchiveJob(name="right", scan=path, out=None, order=ReconOrder())
    items = {item.name: item for item in run_here(1)([wrong, right], Event())}
    assert "mistake of its own, AttributeError" in items["wrong"].text
    assert items["right"].is_done


def test_stop_ends_it(archive):
    cancel = Event()
    items = reconstruct_archive(archive, None, ReconOrder(), run=run_here(1), cancel=cancel, on_done=lambda *_: cancel.set())
    assert 1 <= len(items) < len(find_archive(archive))  # one more may have been done by then


def test_a_folder_without_scans(tmp_path):
    with pytest.raises(StorageError, match=r"There is no scan in[\s\S]*one that holds such folders"):
        reconstruct_archive(tmp_path, None, ReconOrder(), run=run_here(), cancel=Event())


def test_command_sums_up_and_its_exit_code_tells(archive):
    done = CliRunner().invoke(cli, ["reconstruct", str(archive), "--workers", "2"])
    assert done.exit_code == 1
    assert "2 of 3 scans reconstructed." in done.output
    assert "NOT reconstructed" in done.output
    done = CliRunner().invoke(cli, ["reconstruct", str(archive / "2026" / "january"), "--json"])
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert (found["reconstructed"], found["failed"], len(found["scans"])) == (1, 0, 1)


@pytest.mark.peer("python:distributed")
@pytest.mark.filterwarnings("ignore")  # of Dask's own
def test_a_dask_cluster_gives_the_same(archive):
    import distributed

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, processes=True)
        with cluster:
            items = reconstruct_archive(archive, None, ReconOrder(), run=run_on(cluster.scheduler_address), cancel=Event())
    assert [item.is_done for item in items] == [True, False, True]
    assert all(Path(path).is_file() for path in items[0].files)


@pytest.mark.peer("python:distributed")
@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_is_not_there(archive, monkeypatch):
    monkeypatch.setattr("isocenter.app.cluster._CONNECT_S", 0.5)
    with pytest.raises(ConnectError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9[\s\S]*without --cluster"):
        reconstruct_archive(archive, None, ReconOrder(), run=run_on("tcp://127.0.0.1:9"), cancel=Event())


def test_without_dask_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"Dask is not installed[\s\S]*isocenter\[cluster\]"):
        run_on("tcp://127.0.0.1:8786")
