// The live page in a real Chromium.
//
//   MILLSTREAM_URL=http://127.0.0.1:8080 node run.mjs    against a running `millstream demo`
//   MILLSTREAM_BIN=target/release/millstream node run.mjs  starts a demo of its own
//   node run.mjs                                         only what needs no server
//
// The page's states (nothing yet, other pipelines, stalled, connection lost) are checked against
// the stand-in of mock-server.mjs, everything else against the real server. Other variables:
// CHROMIUM, the browser's path; MILLSTREAM_WINDOW_WAIT_SECONDS, how long to wait for the first
// closed window (default 100; 0 accepts the empty state). The last line is `N passed, N failed`;
// without a browser it is `skipped: …`, which only fails when CI=true.

import { existsSync } from "node:fs";
import { startDemo } from "./demo.mjs";
import { docsChecks } from "./checks-docs.mjs";
import { liveChecks, restartChecks } from "./checks-live.mjs";
import { stateChecks } from "./checks-states.mjs";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

function skip(reason) {
  console.log(`skipped: browser test (${reason})`);
  process.exit(process.env.CI === "true" ? 1 : 0);
}

/** Runs checks one after another; a check is `[name, async (context) => {}]` and fails by throwing. */
async function run(checks, context, totals) {
  for (const [name, check] of checks) {
    const started = performance.now();
    try {
      await check(context);
      totals.passed += 1;
      console.log(`ok    ${name} (${Math.round(performance.now() - started)} ms)`);
    } catch (error) {
      totals.failed += 1;
      console.log(`FAIL  ${name}\n      ${String(error.message).split("\n").join("\n      ")}`);
    }
  }
}

if (!existsSync(CHROMIUM)) skip("no chromium");
const playwright = await import("playwright-core").catch(() => skip("no playwright-core; run install.sh"));

const totals = { passed: 0, failed: 0 };
const browser = await playwright.chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
let demo = null;
try {
  await run(stateChecks, { browser }, totals);
  let url = process.env.MILLSTREAM_URL;
  if (!url && process.env.MILLSTREAM_BIN) {
    demo = await startDemo(process.env.MILLSTREAM_BIN);
    url = demo.url;
  }
  if (url) {
    const windowWaitMs = 1000 * Number(process.env.MILLSTREAM_WINDOW_WAIT_SECONDS ?? 100);
    await run(docsChecks, { browser, url }, totals);
    await run(liveChecks, { browser, url, windowWaitMs }, totals);
    if (demo) await run(restartChecks, { browser, demo }, totals);
  } else {
    console.log("no MILLSTREAM_URL and no MILLSTREAM_BIN: only the page's states were checked");
  }
} finally {
  await browser.close();
  await demo?.remove();
}
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exit(totals.failed ? 1 : 0);
