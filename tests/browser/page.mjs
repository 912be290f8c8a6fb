// What the checks share: a page that remembers its complaints, numbers read off the page, and
// expectations that say what was found.

/** Opens the page; `complaints` collects console errors, exceptions and CSP violations. */
export async function openPage(browser, url, { width = 1280, colorScheme = "light" } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.addInitScript(() => {
    window.cspViolations = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      window.cspViolations.push(`${event.violatedDirective}: ${event.blockedURI}`);
    });
  });
  await page.goto(url);
  return { page, complaints, close: () => context.close() };
}

/** The number at the start of an element's text; NaN while there is none. */
export async function numberOf(page, selector) {
  const text = await page.textContent(selector);
  return Number.parseFloat(text.replaceAll(",", ""));
}

/** Waits until the number at the start of an element's text is at least `least`. */
export async function untilNumber(page, selector, least, timeout) {
  await page.waitForFunction(
    ([at, wanted]) =>
      Number.parseFloat(document.querySelector(at).textContent.replaceAll(",", "")) >= wanted,
    [selector, least],
    { timeout },
  );
}

/** Waits until an element's text matches. */
export async function untilText(page, selector, pattern, timeout = 10_000) {
  try {
    await page.waitForFunction(
      ([at, source]) => new RegExp(source).test(document.querySelector(at)?.textContent ?? ""),
      [selector, pattern.source],
      { timeout },
    );
  } catch {
    const found = await page.textContent(selector).catch(() => "no such element");
    throw new Error(`\`${selector}\`: found ${JSON.stringify(found)}, expected ${pattern}`);
  }
}

/** How much wider than the window the document is, in pixels. */
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
}

/** Fails unless both are the same. */
export function expectEqual(found, expected, what) {
  const [left, right] = [JSON.stringify(found), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${what}: found ${left}, expected ${right}`);
}

/** Fails unless it holds. */
export function expect(holds, message) {
  if (!holds) throw new Error(message);
}

/** The lowest contrast between a text and what it stands on, over all visible texts. */
export function lowestContrast(page) {
  return page.evaluate(() => {
    const parse = (color) => color.match(/[\d.]+/g).map(Number);
    const luminance = (rgb) => {
      const [r, g, b] = rgb.slice(0, 3).map((part) => {
        const value = part / 255;
        return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const color = parse(getComputedStyle(at).backgroundColor);
        if (color.length === 3 || color[3] === 1) return color;
      }
      return [255, 255, 255];
    };
    let lowest = { ratio: 21, text: "" };
    for (const element of document.querySelectorAll("body *:not(svg *, script, noscript *)")) {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
      if (!own || !element.checkVisibility() || element.closest(".tooltip")) continue;
      const pair = [luminance(parse(getComputedStyle(element).color)), luminance(ground(element))];
      const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
      if (ratio < lowest.ratio) lowest = { ratio, text: element.textContent.trim().slice(0, 40) };
    }
    return lowest;
  });
}
