// The page's states, against the stand-in server: each check opens a scene of its own.

import { startMock } from "./mock-server.mjs";
import { expect, expectEqual, lowestContrast, numberOf, openPage, overflow, untilNumber, untilText } from "./page.mjs";

/** A check on one scene, without console errors unless the check expects some. */
function scene(name, check, options = {}) {
  return async ({ browser }) => {
    const mock = await startMock({ scene: name });
    const opened = await openPage(browser, mock.url, options);
    try {
      await check(opened, mock);
      if (!options.expectsComplaints) expectEqual(opened.complaints, [], "console errors");
    } finally {
      await opened.close();
      await mock.close();
    }
  };
}

async function fitsAndReads({ page }) {
  await untilText(page, "#job-state", /running/);
  await page.waitForSelector(".column");
  await page.waitForSelector("#anomalies-rows td");
  await page.click("#late-details summary");
  await page.click("#dead-details summary");
  await page.waitForSelector("#dead-samples td");
  expectEqual(await overflow(page), 0, "pixels wider than the window");
  const { ratio, text } = await lowestContrast(page);
  expect(ratio >= 4.5, `contrast ${ratio.toFixed(2)} of "${text}", expected at least 4.5`);
}

async function listsAnomalies({ page }) {
  await page.waitForSelector("#anomalies-rows tbody tr:nth-child(9)");
  const cells = (row) => page.locator(`#anomalies-rows tbody tr:nth-child(${row}) td`).allTextContents();
  expectEqual((await cells(1)).slice(1), ["/product/7", "United States", "1,498", "286", "+71.3"], "a surge");
  expectEqual((await cells(2)).slice(1), ["/product/10", "Germany", "211", "268", "−3.5"], "a fall");
  expectEqual((await cells(3)).slice(1), ["/product/13", "null", "2", "1", "–"], "views that never varied before");
  expect(/^\d\d:\d\d$/.test((await cells(1))[0]), "the minute is no time of day");
  await untilText(page, "#anomalies-note", /^164 anomalies so far$/);
}

async function showsAnomaliesWhole({ page }) {
  await page.waitForSelector("#anomalies-rows td");
  const hidden = await page.evaluate(() => {
    const frame = document.querySelector("#anomalies-rows .scroll");
    return frame.scrollWidth - frame.clientWidth;
  });
  expectEqual(hidden, 0, "pixels of the table that are out of sight");
}

async function reconnects({ page, complaints }, mock) {
  await page.waitForSelector(".column");
  await mock.close();
  await page.waitForSelector("#banner:not([hidden])");
  await untilText(page, "#banner", /Connection lost/);
  await untilText(page, "#job-state", /reconnecting/);
  expect((await page.$$(".column")).length > 0, "the chart went away with the connection");
  const again = await startMock({ port: mock.port, scene: "live" });
  try {
    await page.waitForSelector("#banner", { state: "hidden", timeout: 15_000 });
    await untilText(page, "#job-state", /running/);
    await untilNumber(page, "#rate", 1, 5_000);
    complaints.length = 0;
  } finally {
    await again.close();
  }
}

async function tellsMinuteByKeyboard({ page }) {
  await page.waitForSelector(".column");
  await page.focus("#views-chart");
  await page.keyboard.press("ArrowLeft");
  await page.waitForSelector(".tooltip:not([hidden])");
  const newest = await page.getAttribute("#views-chart", "aria-valuetext");
  expect(/^\d\d:\d\d: [\d,]+ views, [\d,]+ unique views$/.test(newest), `spoken: "${newest}"`);
  await page.keyboard.press("ArrowLeft");
  const before = await page.getAttribute("#views-chart", "aria-valuetext");
  expect(before !== newest, `the arrow key stayed on "${newest}"`);
  await page.keyboard.press("Escape");
  await page.waitForSelector(".tooltip", { state: "hidden" });
}

async function switchesPipelines({ page }) {
  await page.waitForSelector("#job-select:not([hidden])");
  await page.selectOption("#job-select", { index: 1 });
  await untilNumber(page, "#read", 1, 5_000);
  expectEqual(await page.inputValue("#job-select"), "saas_events_with_quite_a_long_name", "selected");
  expect(await page.isHidden("#clicks"), "the click panels appear without their table");
  expect(await page.isHidden("#anomalies"), "the anomalies appear without their table");
  await page.click("text=Watch");
  await page.waitForSelector("#watch-rows td");
  await page.click("#watch-close");
  await page.waitForSelector("#watch", { state: "hidden" });
  expectEqual(await overflow(page), 0, "pixels wider than the window");
}

async function ranksByRange({ page }) {
  await page.waitForSelector("#top-countries li:nth-child(8)");
  const asked = page.waitForRequest((request) => request.postData()?.includes("SELECT country"));
  await page.check("input[name=range][value='60']", { force: true });
  const from = (await asked).postData().match(/TIMESTAMP '([^']+)'/)[1];
  const newest = (await page.getAttribute("#views-chart", "aria-valuetext")).slice(0, 5);
  const minutes = (Date.parse(`${from.slice(0, 10)}T${newest}Z`) - Date.parse(`${from.replace(" ", "T")}Z`)) / 60_000;
  expectEqual((minutes + 1440) % 1440, 59, "minutes before the newest window");
}

async function showsBytesAsText({ page }) {
  await untilText(page, "#job-state", /running/);
  await page.click("#dead-details summary");
  await untilText(page, "#dead-samples", /<img src="\/x" alt="markup">/);
  expectEqual(await page.locator("#dead-samples img").count(), 0, "elements made of a record's bytes");
}

async function showsSpecialValues({ page }) {
  await page.fill("#sql-text", "SELECT 9223372036854775807 AS n");
  await page.press("#sql-text", "Control+Enter");
  await untilText(page, "#sql-result td.num", /^9223372036854775807$/);
  await page.fill("#sql-text", "SELECT * FROM a CROSS JOIN b");
  await page.press("#sql-text", "Control+Enter");
  await untilText(page, "#sql-status", /cut off at the server's row limit/);
  await page.waitForSelector("#sql-result td.null");
}

export const stateChecks = [
  ["no event yet: says what it waits for", scene("start", async ({ page }) => {
    await untilText(page, "#views-empty", /Waiting for the first events/);
    await untilText(page, "#rejects-note", /Nothing read yet/);
  })],
  ["no window closed yet: says when one will", scene("empty", async ({ page }) => {
    await untilText(page, "#views-empty", /First window closes in about (\d+ s|1 min)\./);
    expect((await numberOf(page, "#read")) > 0, "no events are shown");
    await untilText(page, "#anomalies-rows", /None so far/);
  })],
  ["an hour of windows at 1280, light", scene("live", fitsAndReads)],
  ["an hour of windows at 1280, dark", scene("live", fitsAndReads, { colorScheme: "dark" })],
  ["an hour of windows at 390, light", scene("live", fitsAndReads, { width: 390 })],
  ["an hour of windows at 390, dark", scene("live", fitsAndReads, { width: 390, colorScheme: "dark" })],
  ["anomalies: surges, falls, and what cannot be told", scene("live", listsAnomalies)],
  ["anomalies at 390: no column is out of sight", scene("live", showsAnomaliesWhole, { width: 390 })],
  ["the chart speaks by keyboard", scene("live", tellsMinuteByKeyboard)],
  ["the top lists follow their range", scene("live", ranksByRange)],
  ["SQL: null, the largest BIGINT and cut-off results", scene("live", showsSpecialValues)],
  ["undecodable bytes are text, not markup", scene("live", showsBytesAsText)],
  ["other pipelines: a choice, no click panels", scene("generic", switchesPipelines, { width: 390 })],
  ["stalled: state and reason", scene("stalled", async ({ page }) => {
    await untilText(page, "#job-state", /stalled/);
    await untilText(page, "#job-reason", /storage is full/);
  })],
  ["finished: the end is no time of day", scene("finished", async ({ page }) => {
    await untilText(page, "#job-state", /finished/);
    await untilText(page, "#lag-note", /^end of input$/);
    await untilText(page, "#inside", /end/);
    await untilText(page, "#views-note", /All input read/);
  })],
  ["no pipeline: says so", scene("none", async ({ page }) => {
    await untilText(page, "#job-name", /no pipeline/);
    await untilText(page, "#inside-note", /No pipeline is running/);
  })],
  ["connection lost and found", scene("live", reconnects, { expectsComplaints: true })],
];
