# SPDX-License-Identifier: MIT
"""Sleeps until its standard input ends, then prints start and end of each span in which it did not run [s, steady clock]."""

import select
import sys
import time

NAP_S = 0.005
LATE_S = 0.01  # later than this is no jitter of a timer

spans = []
print("ready", flush=True)
due_s = time.monotonic() + NAP_S
while not select.select([sys.stdin], [], [], max(due_s - time.monotonic(), 0.0))[0]:
    now_s = time.monotonic()
    if now_s - due_s > LATE_S:
        spans.append((due_s, now_s))
    due_s = now_s + NAP_S
print("\n".join(f"{since} {until}" for since, until in spans))
