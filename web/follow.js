// A panel that follows a table: whenever something was committed to it, the panel asks again.
//
// Flow: the table's live rows only say that there is something new; `load` asks for what is shown,
// so a panel costs the same whether a commit has ten rows or a hundred thousand. Commits that come
// together are answered by one `load`, and never two run at once.

import { ApiError, subscribe } from "./api.js";

const SETTLE_MS = 150;

export class Follower {
  #table = null;
  #unsubscribe = null;
  #timer = 0;
  #busy = false;
  #again = false;

  /** `load(table)` asks and shows; `onRefused(message)` tells why a query was refused. */
  constructor(load, onRefused) {
    this.load = load;
    this.onRefused = onRefused;
  }

  /** The table that there is now, or null. Whether it has come or gone. */
  follow(table) {
    if (Boolean(table) === Boolean(this.#table)) return false;
    this.pause();
    this.#table = table;
    this.resume();
    return true;
  }

  /** Follows the table again after a lost connection or a hidden page. */
  resume() {
    if (!this.#table || this.#unsubscribe) return;
    const soon = () => this.soon();
    this.#unsubscribe = subscribe(this.#table, { limit: 1, snapshot: soon, rows: soon, lagged: soon });
  }

  /** Lets go of the connection. */
  pause() {
    this.#unsubscribe?.();
    this.#unsubscribe = null;
  }

  /** Asks again once no more commits come. */
  soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#refresh(), SETTLE_MS);
  }

  async #refresh() {
    if (!this.#table) return;
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    try {
      await this.load(this.#table);
    } catch (error) {
      // Nobody answers: the page's poll shows it and resumes. A refused query is told in place.
      if (!(error instanceof ApiError)) throw error;
      if (!error.offline) this.onRefused(error.message);
    } finally {
      this.#busy = false;
      if (this.#again) {
        this.#again = false;
        this.soon();
      }
    }
  }
}

/** The table called `name` that has the columns `needed`. */
export function tableWith(tables, name, needed) {
  return tables.find((table) => {
    const columns = (table.columns ?? []).map((column) => column.name ?? column);
    return table.name === name && needed.every((column) => columns.includes(column));
  }) ?? null;
}
