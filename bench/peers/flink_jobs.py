"""A pipeline file on Flink, in one JVM with two slots: the same file that Millstream runs.

usage: flink_jobs.py FILE.sql FOLDER RUNS

Parallelism 2, object reuse, heap state, exactly-once checkpoints every 5 s (the file asks for 1 s, which
Flink would suffer from more). The first run warms the JVM up and is not told. Prints one JSON line a run.
"""

import json
import re
import sys
import tempfile

from measure import measured
from pyflink.table import EnvironmentSettings, TableEnvironment

SETTINGS = {
    "parallelism.default": "2",
    "pipeline.object-reuse": "true",
    "execution.checkpointing.interval": "5 s",
    "execution.checkpointing.mode": "EXACTLY_ONCE",
    "state.backend.type": "hashmap",
    "taskmanager.memory.network.min": "64mb",
    "python.client.executable": sys.executable,
}


def main():
    path, folder, runs = sys.argv[1:]
    with open(path) as file:
        text = re.sub(r"--[^\n]*", "", file.read()).replace("${INPUT}", folder)
    statements = [statement.strip() for statement in text.split(";") if statement.strip()]
    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    checkpoints = tempfile.mkdtemp()
    for key, value in SETTINGS.items():
        environment.get_config().set(key, value)
    environment.get_config().set("execution.checkpointing.dir", f"file://{checkpoints}")
    inserts = [statement for statement in statements if statement.startswith("INSERT")]
    for statement in statements:
        if statement.startswith("CREATE"):
            environment.execute_sql(statement)

    def work():
        for statement in inserts:
            environment.execute_sql(statement).wait()

    work()
    for _ in range(int(runs)):
        print(json.dumps(measured(work)), flush=True)


main()
