// The panels of the click pipeline: views per minute, top pages, top countries. They appear if
// there is a table `page_minute_agg` with the columns that they need.
//
// What is shown comes from aggregating queries. Minutes that are known are kept, and only the
// newest is asked for again.

import { byId, element, setShown, setText } from "./dom.js";
import { runSql, sqlName } from "./api.js";
import { ColumnChart } from "./chart.js";
import { Follower, tableWith } from "./follow.js";
import { compact, count, country, duration, minuteOf, parseTimestamp, timestamp, watermarkOf } from "./format.js";

const TABLE = "page_minute_agg";
const NEEDED = ["window_start", "page", "country", "views", "visitors"];
const MINUTE_MS = 60_000;
const SHOWN_MINUTES = 60;
const TOP = 8;

export class ClickPanels {
  #minutes = new Map();
  #latest = NaN;
  #pipeline = null;
  #follower = new Follower((table) => this.#load(table), (message) => setText(byId("views-note"), message));

  constructor() {
    this.chart = new ColumnChart(byId("views-chart"), {
      label: "Views per minute",
      axis: compact,
      time: minuteOf,
      describe: (point) => [
        ["views", count(point?.value ?? 0)],
        ["unique views", count(point?.unique ?? 0)],
      ],
    });
    for (const radio of document.querySelectorAll("input[name=range]")) {
      radio.addEventListener("change", () => this.#follower.soon());
    }
    this.#renderEmpty();
  }

  /** What the server has now. */
  update({ pipeline, tables }) {
    this.#pipeline = pipeline;
    const table = tableWith(tables, TABLE, NEEDED);
    setShown(byId("clicks"), Boolean(table));
    if (this.#follower.follow(table)) this.#minutes.clear();
    this.#renderNote();
  }

  /** After a lost connection or a hidden page everything is asked again. */
  resume() {
    this.#minutes.clear();
    this.#follower.resume();
  }

  pause() {
    this.#follower.pause();
  }

  async #load(table) {
    const from = sqlName(table);
    const newest = await runSql(`SELECT MAX(window_start) AS latest FROM ${from}`);
    const latest = parseTimestamp(newest.rows[0]?.[0]);
    if (!Number.isFinite(latest)) {
      this.#renderEmpty();
      return;
    }
    const oldest = latest - (SHOWN_MINUTES - 1) * MINUTE_MS;
    const since = this.#minutes.size ? Math.max(oldest, this.#latest) : oldest;
    const range = Number(document.querySelector("input[name=range]:checked").value);
    const recent = latest - (range - 1) * MINUTE_MS;
    const [minutes, pages, countries] = await Promise.all([
      runSql(
        `SELECT window_start, SUM(views) AS views, SUM(visitors) AS visitors FROM ${from} ` +
          `WHERE window_start >= ${literal(since)} GROUP BY window_start`,
      ),
      runSql(topQuery(from, "page", recent)),
      runSql(topQuery(from, "country", recent)),
    ]);
    this.#latest = latest;
    for (const [start, views, visitors] of minutes.rows) {
      this.#minutes.set(parseTimestamp(start), { views: Number(views), unique: Number(visitors) });
    }
    for (const start of this.#minutes.keys()) {
      if (start < oldest) this.#minutes.delete(start);
    }
    this.#renderChart();
    renderBars(byId("top-pages"), pages.rows, (name) => name);
    renderBars(byId("top-countries"), countries.rows, country);
    this.#renderNote();
  }

  #renderChart() {
    const points = [...this.#minutes]
      .map(([start, { views, unique }]) => ({ start, value: views, unique }))
      .sort((a, b) => a.start - b.start);
    const span = (this.#latest - points[0].start) / MINUTE_MS + 1;
    const slots = [15, 30, SHOWN_MINUTES].find((wide) => wide >= span) ?? SHOWN_MINUTES;
    setShown(byId("views-chart"), true);
    setShown(byId("views-empty"), false);
    this.chart.update(points, {
      start: this.#latest - (slots - 1) * MINUTE_MS,
      slots,
      slotMs: MINUTE_MS,
    });
  }

  #renderEmpty() {
    setShown(byId("views-chart"), false);
    setShown(byId("views-empty"), true);
    const later = "Appears with the first closed window.";
    for (const id of ["top-pages", "top-countries"]) {
      byId(id).replaceChildren(element("li", { class: "waiting" }, later));
    }
    this.#renderNote();
  }

  // How far event time is from closing the next window, which is when something new appears.
  #renderNote() {
    const isFirst = byId("views-chart").hidden;
    const message = closingMessage(this.#pipeline, isFirst);
    setText(byId("views-empty"), isFirst ? message : "");
    setText(byId("views-note"), isFirst ? "" : message);
  }
}

function closingMessage(pipeline, isFirst) {
  const which = isFirst ? "First" : "Next";
  if (!pipeline) return "";
  if (pipeline.state === "finished") return "All input read, every window closed.";
  if (pipeline.state !== "running" && pipeline.state !== "starting") return `Pipeline is ${pipeline.state}.`;
  const { ms, ended } = watermarkOf(pipeline);
  if (ended) return "";
  if (ms === undefined) {
    return isFirst ? "Waiting for the first events. A window closes 10 s after its minute ends." : "";
  }
  const left = MINUTE_MS - (((ms % MINUTE_MS) + MINUTE_MS) % MINUTE_MS);
  const seconds = duration(Math.ceil(left / 1000) * 1000).replace(".0", "");
  return `${which} window closes in about ${seconds}.`;
}

function literal(ms) {
  return `TIMESTAMP '${timestamp(ms)}'`;
}

function topQuery(from, column, since) {
  return (
    `SELECT ${column}, SUM(views) AS views FROM ${from} WHERE window_start >= ${literal(since)} ` +
    `GROUP BY ${column} ORDER BY views DESC, ${column} LIMIT ${TOP}`
  );
}

/** Writes rows of (name, views) into a list, reusing its items so that bars glide. */
function renderBars(list, rows, nameOf) {
  const most = Math.max(1, ...rows.map(([, views]) => Number(views)));
  list.querySelector(".waiting")?.remove();
  while (list.children.length > rows.length) list.lastElementChild.remove();
  rows.forEach(([name, views], index) => {
    if (!list.children[index]) list.append(barItem());
    const [label, figure, track] = list.children[index].children;
    setText(label, name === null ? "unknown" : nameOf(name));
    setText(figure, count(Number(views)));
    track.firstElementChild.style.transform = `scaleX(${Number(views) / most})`;
  });
}

function barItem() {
  return element(
    "li",
    {},
    element("span", { class: "bar-name" }),
    element("span", { class: "bar-figure" }),
    element("span", { class: "bar-track", "aria-hidden": "true" }, element("span", { class: "bar-fill" })),
  );
}
