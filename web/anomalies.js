// The panel of anomalies: minutes of a page and country whose views stand out from those before. It
// appears if there is a table `anomalies` with the columns that it needs.
//
// Of each minute the strongest are shown: with many pages a few deviate by chance alone, and would
// push out what there is to see.

import { byId, element, setShown, setText } from "./dom.js";
import { runSql, sqlName } from "./api.js";
import { Follower, tableWith } from "./follow.js";
import { count, country, minuteOf, parseTimestamp, plural, UNKNOWN } from "./format.js";
import { rowsTable } from "./table.js";

const TABLE = "anomalies";
const NEEDED = ["window_start", "page", "country", "views", "mean", "z"];
const OF_A_MINUTE = 3;
const SHOWN = 9;
const COLUMNS = [
  { name: "Minute" },
  { name: "Page" },
  { name: "Country" },
  { name: "Views", numeric: true },
  { name: "Mean before", numeric: true },
  { name: "z", numeric: true },
];

export class Anomalies {
  #follower = new Follower((table) => this.#load(table), (message) => setText(byId("anomalies-note"), message));

  /** What the server has now. */
  update({ tables }) {
    const table = tableWith(tables, TABLE, NEEDED);
    setShown(byId("anomalies"), Boolean(table));
    if (this.#follower.follow(table)) this.#render([], 0);
  }

  resume() {
    this.#follower.resume();
  }

  pause() {
    this.#follower.pause();
  }

  async #load(table) {
    const [strongest, all] = await Promise.all([
      runSql(strongestQuery(sqlName(table))),
      runSql(`SELECT COUNT(*) FROM ${sqlName(table)}`),
    ]);
    this.#render(strongest.rows, Number(all.rows[0][0]));
  }

  #render(rows, all) {
    setText(byId("anomalies-note"), all ? `${plural(all, "anomaly", "anomalies")} so far` : "");
    const target = byId("anomalies-rows");
    if (!rows.length) {
      const later = "None so far. A page's views from a country are compared once there are ten minutes of them.";
      target.replaceChildren(element("p", { class: "waiting" }, later));
      return;
    }
    // A reader who has scrolled keeps the place.
    const left = target.querySelector(".scroll")?.scrollLeft ?? 0;
    target.replaceChildren(rowsTable(COLUMNS, rows.map(shown), "Newest anomalies"));
    target.querySelector(".scroll").scrollLeft = left;
  }
}

function strongestQuery(from) {
  const columns = NEEDED.join(", ");
  const strength = "ABS(COALESCE(z, 0)) DESC, page, country";
  return (
    `SELECT ${columns} FROM (SELECT ${columns}, ROW_NUMBER() OVER (PARTITION BY window_start ORDER BY ${strength}) AS place ` +
    `FROM ${from}) AS ranked WHERE place <= ${OF_A_MINUTE} ORDER BY window_start DESC, place LIMIT ${SHOWN}`
  );
}

function shown([start, page, code, views, mean, z]) {
  const deviations = z === null ? UNKNOWN : `${z < 0 ? "−" : "+"}${Math.abs(z).toFixed(1)}`;
  return [minuteOf(parseTimestamp(start)), page, code === null ? null : country(code), count(views), count(mean), deviations];
}
