"""CPU time and peak memory of processes, from /proc."""

import os
import time

TICKS = os.sysconf("SC_CLK_TCK")


def children(pid):
    """The processes below `pid`, itself included."""
    found = [pid]
    for parent in found:
        try:
            threads = os.listdir(f"/proc/{parent}/task")
        except FileNotFoundError:
            continue
        for thread in threads:
            try:
                with open(f"/proc/{parent}/task/{thread}/children") as file:
                    found.extend(int(child) for child in file.read().split())
            except FileNotFoundError:
                continue
    return found


def cpu_seconds(pid):
    """User and system time of `pid` and the processes below it, so far."""
    total = 0
    for process in children(pid):
        with open(f"/proc/{process}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def peak_bytes(pid):
    """The most memory that `pid` and the processes below it ever held, added up."""
    total = 0
    for process in children(pid):
        with open(f"/proc/{process}/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1]) * 1024
    return total


def measured(work):
    """Runs `work`, which says how many rows came out: wall and CPU seconds, and peak memory so far."""
    pid = os.getpid()
    cpu, wall = cpu_seconds(pid), time.monotonic()
    rows = work()
    return {
        "result_rows": rows,
        "seconds": time.monotonic() - wall,
        "cpu_seconds": cpu_seconds(pid) - cpu,
        "peak_rss_bytes": peak_bytes(pid),
    }
