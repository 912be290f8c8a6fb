// A `millstream demo` of the test's own: on a free port, in a data directory that is removed.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const READY_WITHIN_MS = 20_000;
const STOP_WITHIN_MS = 5_000;

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Asks until `/readyz` agrees. */
async function untilReady(url, child) {
  const deadline = performance.now() + READY_WITHIN_MS;
  while (performance.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`the demo ended with exit code ${child.exitCode}`);
    const answer = await fetch(`${url}/readyz`).catch(() => null);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the demo is not ready after ${READY_WITHIN_MS} ms`);
}

/** Starts a demo; `kill` ends it as a crash would, `start` begins again on the same data. */
export async function startDemo(binary) {
  const data = await mkdtemp(join(tmpdir(), "millstream-browser-"));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  let child = null;

  const start = async () => {
    const log = [];
    const args = ["demo", "--listen", `127.0.0.1:${port}`, "--data-dir", data];
    child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => log.push(chunk));
    child.on("error", (error) => log.push(`${error.message}\n`));
    try {
      await untilReady(url, child);
    } catch (error) {
      throw new Error(`${error.message}\n${log.join("").slice(-2000)}`);
    }
  };
  const end = async (signal) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_WITHIN_MS);
    await ended;
    clearTimeout(timer);
  };
  const remove = async () => {
    await end("SIGTERM");
    await rm(data, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await remove();
    throw error;
  }
  return { url, start, kill: () => end("SIGKILL"), remove };
}
