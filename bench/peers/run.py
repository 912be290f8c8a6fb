"""Millstream and its peers on the same input, in turns: medians and ratios of events per CPU-second.

usage: run.py BINARY DIR EVENTS RUNS JOB ...

Called by bench/peers.sh, which makes the input and installs the peers. What is not installed is skipped by
name. Writes DIR/peers.json.
"""

import importlib.util
import json
import pathlib
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
BATCH = {"decode", "count", "count_distinct", "top_pages"}


def millstream(binary, job, folder, runs, scratch):
    """Whole processes, start and end included."""
    for run in range(runs + 1):
        shutil.rmtree(scratch, ignore_errors=True)
        command = [binary, "run", HERE.parent / f"{job}.sql", "--var", f"INPUT={folder}"]
        command += ["--data-dir", scratch, "--summary", "json"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        if run > 0:
            yield json.loads(done.stdout)


def peer(command):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"error: {command}: {done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def engines(binary, job, folder, runs, scratch):
    """Name and runs of each engine that can do the job."""
    yield "millstream", list(millstream(binary, job, folder, runs, scratch))
    for name in ("duckdb", "chdb"):
        if job in BATCH and importlib.util.find_spec(name):
            yield name, peer([HERE / "batch_jobs.py", name, job, folder, runs])
    if importlib.util.find_spec("pyflink") and shutil.which("java"):
        yield "flink", peer([HERE / "flink_jobs.py", HERE.parent / f"{job}.sql", folder, runs])


def main():
    binary, folder, events, runs, *jobs = sys.argv[1:]
    folder = pathlib.Path(folder).resolve()
    for module, why in (("duckdb", "duckdb"), ("chdb", "chdb"), ("pyflink", "flink")):
        if not importlib.util.find_spec(module):
            print(f"skipped: {why} (not installed: bench/peers.sh --install)", file=sys.stderr)
    row = "{:<16} {:<11} {:>14} {:>9} {:>9} {:>9} {:>11}"
    print(row.format("job", "engine", "events/CPU-s", "wall s", "CPU s", "peak MiB", "Millstream"))
    results = []
    for job in jobs:
        users = 1_000_000 if job == "sessions" else 100_000
        data = folder / f"clicks-{events}-{users}"
        ours = None
        for name, done in engines(binary, job, data, int(runs), folder / "data"):
            middle = lambda key: statistics.median(run[key] for run in done)
            cpu = middle("cpu_seconds")
            rate = int(events) / cpu
            ours = ours or rate
            peak = middle("peak_rss_bytes") / 2**20
            ratio = "" if name == "millstream" else f"{ours / rate:.1f} x"
            wall = middle("seconds")
            print(row.format(job, name, f"{rate:,.0f}", f"{wall:.2f}", f"{cpu:.2f}", f"{peak:.0f}", ratio), flush=True)
            results.append({"job": job, "engine": name, "events": int(events), "runs": done, "ratio": ours / rate})
    path = folder / "peers.json"
    path.write_text(json.dumps(results, indent=1))
    print(f"as JSON: {path}")


main()
