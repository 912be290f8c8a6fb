// The page of the HTTP API, against a real server.

import { expect, expectEqual, lowestContrast, openPage, overflow, untilText } from "./page.mjs";

async function drawsAndTries({ browser, url }, options) {
  const { page, complaints, close } = await openPage(browser, `${url}/docs`, options);
  try {
    await page.waitForSelector("#post-api-v1-sql");
    const document = await page.evaluate(() => fetch("/api/v1/openapi.json").then((r) => r.json()));
    const methods = Object.values(document.paths).flatMap((path) => Object.keys(path));
    expectEqual((await page.$$(".operation")).length, methods.length, "operations");
    await page.click("#get-readyz button");
    await untilText(page, "#get-readyz pre:last-child", /^ready/);
    await page.fill("#get-api-v1-pipelines-name input", "no/where");
    await page.click("#get-api-v1-pipelines-name button");
    await untilText(page, "#get-api-v1-pipelines-name pre:last-child", /"status": 404/);
    expectEqual(await overflow(page), 0, "pixels wider than the window");
    const { ratio, text } = await lowestContrast(page);
    expect(ratio >= 4.5, `contrast ${ratio.toFixed(2)} of "${text}", expected at least 4.5`);
    expectEqual(await page.evaluate(() => window.cspViolations), [], "violations of the policy");
    // The browser itself tells of the 404 that was asked for.
    expectEqual(complaints.filter((text) => !text.includes("404")), [], "console errors");
  } finally {
    await close();
  }
}

export const docsChecks = [
  ["the API's page, wide and light", (context) => drawsAndTries(context, { width: 1280 })],
  ["the API's page, narrow and dark", (context) => drawsAndTries(context, { width: 390, colorScheme: "dark" })],
];
