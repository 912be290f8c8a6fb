#!/usr/bin/env python3
"""How long a pipeline with much state is away after `kill -9`: to the first answer over HTTP, to
`/readyz`, to the first epoch with rows that came meanwhile.

  bench/recovery.py [--users N] [--runs N] [--binary PATH] [--dir DIR]
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
PORT = 18081
URL = f"http://127.0.0.1:{PORT}"
# All that were started; the last one may run.
PROCESSES = []


def get(path):
    """Status and text; None while nobody answers."""
    try:
        with urllib.request.urlopen(URL + path, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def pipeline():
    answer = get("/api/v1/pipelines")
    found = json.loads(answer[1]) if answer and answer[0] == 200 else []
    return found[0] if found else None


def until(what, seconds, check):
    """Polls until `check` gives something; when that was, and what."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := check():
            return time.monotonic(), found
        time.sleep(0.005)
    sys.exit(f"error: {what} took more than {seconds} s")


def start(arguments, data, log):
    command = [arguments.binary, "run", HERE / "recovery.sql", "--var", f"INPUT={arguments.dir}/in",
               "--data-dir", data, "--listen", f"127.0.0.1:{PORT}",
               "--set", "execution.checkpointing.interval=100ms"]
    environment = os.environ | {"MILLSTREAM_PIPELINE_MEMORY_BYTES_MAX": "8GiB"}
    PROCESSES.append(subprocess.Popen(command, stderr=log, env=environment))
    return PROCESSES[-1]


def rows_read():
    found = pipeline()
    return found["sources"][0]["rows_read"] if found and found["sources"] else 0


def make_input(arguments, folder):
    """Each user clicks twice on average, in two files."""
    folder.mkdir(parents=True)
    for part in (1, 2):
        subprocess.run([arguments.binary, "generate", "clicks", "--count", str(arguments.users),
                        "--users", str(arguments.users), "--seed", str(part),
                        "--to", folder / f"{part}.jsonl"], check=True, stderr=subprocess.DEVNULL)


def cpu_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def resident_mib(process):
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_500_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--binary", default="target/release/millstream")
    parser.add_argument("--dir", default="target/bench/recovery")
    arguments = parser.parse_args()
    root = Path(arguments.dir)
    shutil.rmtree(root, ignore_errors=True)
    make_input(arguments, root / "in")
    log = open(root / "log", "w")
    process = start(arguments, root / "data", log)
    try:
        measure(arguments, (root, log), process)
    finally:
        PROCESSES[-1].kill()
        PROCESSES[-1].wait()
    shutil.rmtree(root)


def measure(arguments, folder, process):
    root, log = folder
    total = 2 * arguments.users
    until("reading", 600, lambda: rows_read() >= total)
    status = pipeline()
    print(f"state: {status['state_bytes'] / 2**20:.0f} MiB in memory, {resident_mib(process):.0f} MiB "
          f"resident, {status['checkpoint_bytes'] / 2**20:.0f} MiB in segments; barriers "
          f"{json.dumps(status.get('pauses'))}")
    print("run  answers_s  ready_s  first_epoch_s  cpu_s")
    for run in range(arguments.runs):
        # What was read is committed; these come while the process is away.
        process.send_signal(signal.SIGKILL)
        process.wait()
        with open(root / "in/1.jsonl") as lines:
            line = lines.readline()
        (root / f"in/late-{run}.jsonl").write_text(line)
        total += 1
        began = time.monotonic()
        process = start(arguments, root / "data", log)
        answers, _ = until("an answer", 60, lambda: get("/healthz"))
        ready, _ = until("/readyz", 60, lambda: (get("/readyz") or (0,))[0] == 200)
        epoch, _ = until("an epoch", 60, lambda: rows_read() >= total)
        print(f"{run + 1:3}  {answers - began:9.2f}  {ready - began:7.2f}  {epoch - began:13.2f}  "
              f"{cpu_seconds(process):5.2f}")


if __name__ == "__main__":
    main()
