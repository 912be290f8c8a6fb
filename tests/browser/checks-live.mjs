// The page against a real `millstream demo`.

import { expect, expectEqual, numberOf, openPage, overflow, untilNumber, untilText } from "./page.mjs";

const FIRST_EVENTS_MS = 30_000;

function onPage(check, options = {}) {
  return async ({ browser, url, ...rest }) => {
    const opened = await openPage(browser, url, options);
    try {
      await check(opened, { url, ...rest });
    } finally {
      await opened.close();
    }
  };
}

async function loadsCleanly({ page, complaints }) {
  await untilText(page, "#job-state", /running/, FIRST_EVENTS_MS);
  await page.waitForFunction(() => document.querySelectorAll("#inside tbody tr").length >= 3);
  expectEqual(complaints, [], "console errors");
  expectEqual(await page.evaluate(() => window.cspViolations), [], "CSP violations");
  expectEqual(await page.title(), "Millstream", "title");
}

async function countsAddUp({ page }) {
  await untilNumber(page, "#read", 1, FIRST_EVENTS_MS);
  await untilNumber(page, "#late", 1, FIRST_EVENTS_MS * 3);
  await untilNumber(page, "#dead", 1, FIRST_EVENTS_MS);
  // Read in one go: between two reads the page may have moved on.
  const [read, ...parts] = await page.evaluate(() =>
    ["read", "on-time", "late", "dead"].map((id) =>
      Number.parseInt(document.getElementById(id).textContent.replaceAll(",", ""), 10)),
  );
  expectEqual(parts.reduce((sum, part) => sum + part, 0), read, "on time + late + undecodable");
  await untilText(page, "#rejects-note", /read, .* accounted for\.$/);
  await page.click("#late-details summary");
  await page.waitForSelector("#late-samples td");
  await page.click("#dead-details summary");
  await page.waitForSelector("#dead-samples td");
  await untilText(page, "#late-samples th", /missed by/);
  await untilText(page, "#dead-samples", /error/);
}

async function windowsAppear({ page }, { windowWaitMs }) {
  await untilNumber(page, "#read", 1, FIRST_EVENTS_MS);
  if (!windowWaitMs) {
    await page.waitForFunction(() => {
      const empty = document.querySelector("#views-empty");
      return document.querySelector(".column") || /closes in about/.test(empty.textContent);
    });
    return;
  }
  await page.waitForSelector(".column", { timeout: windowWaitMs });
  await page.waitForFunction(() => document.querySelectorAll("#top-pages .bar-fill").length > 0);
  await page.waitForFunction(() => document.querySelectorAll("#top-countries .bar-fill").length > 0);
  await page.hover("#views-chart");
  await page.focus("#views-chart");
  await page.keyboard.press("End");
  const spoken = await page.getAttribute("#views-chart", "aria-valuetext");
  const views = Number(spoken.match(/: ([\d,]+) views/)[1].replaceAll(",", ""));
  expect(views > 0, `the newest minute has no views: "${spoken}"`);
}

// The demo begins with a quarter of an hour of clicks, and each third minute has a surge.
async function anomaliesAppear({ page }) {
  await page.waitForFunction(
    () => [...document.querySelectorAll("#anomalies-rows tbody td:last-child")]
      .some((cell) => Number.parseFloat(cell.textContent) > 8),
    null,
    { timeout: FIRST_EVENTS_MS * 3 },
  );
  await untilText(page, "#anomalies-note", /^[\d,]+ anomal(y|ies) so far$/);
}

async function runsSql({ page }, { windowWaitMs }) {
  const run = async (query) => {
    await page.fill("#sql-text", query);
    await page.press("#sql-text", "Control+Enter");
    await untilText(page, "#sql-status", /^\d.* rows? in /);
  };
  await run("SELECT COUNT(*) AS n, 'x' AS word FROM dead_clicks");
  expectEqual(await page.locator("#sql-result tbody tr").count(), 1, "rows");
  expectEqual(await page.textContent("#sql-result td:nth-child(2)"), "x", "second cell");
  expect((await page.getAttribute("#sql-result td", "class")) === "num", "the count does not stand right");
  await page.click("#sql-examples button:has-text('Tables')");
  await untilText(page, "#sql-result", /page_minute_agg/);
  if (windowWaitMs) {
    await page.click("#sql-examples button:has-text('Busiest minutes')");
    await untilText(page, "#sql-result", /window_start.*20\d\d-\d\d-\d\d \d\d:\d\d:00/);
  }
}

async function tellsSqlErrors({ page }) {
  await page.fill("#sql-text", "SELECT nothing FROM nowhere");
  await page.click("#sql-run");
  await page.waitForSelector("#sql-error:not([hidden])");
  await untilText(page, "#sql-error", /nowhere/);
  await page.fill("#sql-text", "DROP TABLE page_minute_agg");
  await page.click("#sql-run");
  await page.waitForFunction(() => !document.querySelector("#sql-error").textContent.includes("nowhere"));
  expect((await page.textContent("#sql-error")).length > 10, "no reason is given");
  await page.fill("#sql-text", "SELECT 1 AS one");
  await page.click("#sql-run");
  await untilText(page, "#sql-result td", /^1$/);
  expect(await page.isHidden("#sql-error"), "the old error stays");
}

async function colours(browser, url, colorScheme) {
  const { page, close } = await openPage(browser, url, { colorScheme });
  try {
    return await page.evaluate(() => {
      const { backgroundColor, color } = getComputedStyle(document.body);
      return [backgroundColor, color];
    });
  } finally {
    await close();
  }
}

export const liveChecks = [
  ["loads without console errors or CSP violations", onPage(loadsCleanly)],
  ["the rate is above zero", onPage(({ page }) => untilNumber(page, "#rate", 1, FIRST_EVENTS_MS))],
  ["epochs go on", onPage(async ({ page }) => {
    await untilNumber(page, "#epoch", 1, FIRST_EVENTS_MS);
    await untilNumber(page, "#epoch", (await numberOf(page, "#epoch")) + 1, FIRST_EVENTS_MS);
    await untilText(page, "#epoch-note", /committed in [\d.]+ m?s/);
  })],
  ["late and undecodable events: counts and samples", onPage(countsAddUp)],
  ["the chart and the top lists fill", onPage(windowsAppear)],
  ["a surge is among the anomalies", onPage(anomaliesAppear)],
  ["SQL: rows", onPage(runsSql)],
  ["SQL: errors in place", onPage(tellsSqlErrors)],
  ["the plan is shown", onPage(async ({ page }) => {
    await untilText(page, "#job-state", /running/, FIRST_EVENTS_MS);
    await page.click("#plan-details summary");
    await untilText(page, "#plan-text", /clicks/);
  })],
  ["no horizontal scroll at 390", onPage(async ({ page }) => {
    await untilNumber(page, "#read", 1, FIRST_EVENTS_MS);
    await page.click("#dead-details summary");
    await page.waitForSelector("#dead-samples td");
    expectEqual(await overflow(page), 0, "pixels wider than the window");
  }, { width: 390 })],
  ["dark has colours of its own", async ({ browser, url }) => {
    const [light, dark] = [await colours(browser, url, "light"), await colours(browser, url, "dark")];
    expect(light[0] !== dark[0] && light[1] !== dark[1], `light ${light}, dark ${dark}`);
  }],
];

/** With a demo of the test's own: it is killed and started again under an open page. */
export const restartChecks = [
  ["killed and started again: the page recovers, nothing is lost", async ({ browser, demo }) => {
    const { page, close } = await openPage(browser, demo.url);
    try {
      await untilNumber(page, "#read", 1, FIRST_EVENTS_MS);
      const before = await numberOf(page, "#read");
      await demo.kill();
      await untilText(page, "#banner", /Connection lost/, 20_000);
      await demo.start();
      await page.waitForSelector("#banner", { state: "hidden", timeout: 30_000 });
      await untilText(page, "#job-state", /running/, FIRST_EVENTS_MS);
      await untilNumber(page, "#read", before + 1, FIRST_EVENTS_MS);
    } finally {
      await close();
    }
  }],
];
