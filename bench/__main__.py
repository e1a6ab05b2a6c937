# SPDX-License-Identifier: MIT
"""Run every benchmark, or those named, and print one table."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before any numerical library: spinning threads spoil the neighbours

import importlib
import sys
import traceback

from bench.measure import Row

BENCHES = (
    "pulseq_read",
    "compile",
    "gate",
    "encode",
    "virtual_scan",
    "bloch",
    "raw_append",
    "mrd_files",
    "recon",
    "nufft",
    "corrections",
    "start",
)


def main(names: list[str]) -> int:
    """Print the table; the exit code says whether every bench ran, not whether every target was reached."""
    rows: list[Row] = []
    failed = []
    for name in names or BENCHES:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        try:
            rows.extend(importlib.import_module(f"bench.{name}").run())
        except Exception:  # noqa: BLE001  one broken bench must not hide the others
            traceback.print_exc()
            failed.append(name)
    width = max((len(row.what) for row in rows), default=10)
    print(f"\n{'what':<{width}}  {'ours':>9}  {'peer':>9}  {'figure':>9}  {'target':>9}      peer; checked first")
    for row in rows:
        ours_s, peer_s = (f"{t:8.3f}s" if t >= 0 else "        -" for t in (row.ours_s, row.peer_s))
        mark = "ok  " if row.reached else "MISS"
        figures = f"{ours_s}  {peer_s}  {row.ratio:>9}  {row.target:>9}"
        print(f"{row.what:<{width}}  {figures} {mark} {row.peer or '-'}; {row.checked}")
    if failed:
        print(f"did not run: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
