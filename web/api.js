// What the page asks the server: JSON over fetch, queries, live rows.
//
// Flow: every answer is either a value or an `ApiError` whose message can be shown as it is. An
// error with `offline = true` means that nobody answered, which is the connection's matter and
// not the query's. Nothing here touches the document.

const ANSWER_WITHIN_MS = 10_000;
const QUERY_WITHIN_MS = 60_000;
const LIVE_RETRY_MS = 3_000;

/** A request that was not answered with what was asked for. */
export class ApiError extends Error {
  constructor(message, { title = "", status = 0, offline = false } = {}) {
    super(message);
    this.title = title;
    this.status = status;
    this.offline = offline;
  }
}

async function request(path, options, withinMs) {
  const timeout = AbortSignal.timeout(withinMs);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options, signal });
  } catch (cause) {
    if (options.signal?.aborted) throw new ApiError("cancelled");
    const slow = cause.name === "TimeoutError";
    throw new ApiError(
      slow ? `no answer within ${withinMs / 1000} s` : "the server cannot be reached",
      { offline: true },
    );
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** Reads RFC 9457 problem JSON; what is not one is described by its status. */
async function problemOf(response) {
  const fallback = `the server answered ${response.status} ${response.statusText}`.trim();
  try {
    const problem = await response.json();
    return new ApiError(problem.detail || problem.title || fallback, {
      title: problem.title,
      status: response.status,
    });
  } catch {
    return new ApiError(fallback, { status: response.status });
  }
}

/** GET of JSON. */
export async function getJson(path) {
  const response = await request(path, {}, ANSWER_WITHIN_MS);
  try {
    return await response.json();
  } catch {
    // The answer broke off, as when the server stops in the middle of it.
    throw new ApiError("the answer broke off", { offline: true });
  }
}

/** GET of text. */
export async function getText(path) {
  return (await request(path, {}, ANSWER_WITHIN_MS)).text();
}

/** Runs a query: `{columns: [{name, type}], rows: [[…]], row_count, truncated, elapsed_ms}`. */
export async function runSql(query, signal) {
  const response = await request(
    "/api/v1/sql",
    {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query }),
      signal,
    },
    QUERY_WITHIN_MS,
  );
  try {
    return JSON.parse(await response.text(), keepLargeIntegers);
  } catch {
    throw new ApiError("the answer broke off", { offline: true });
  }
}

/** A BIGINT beyond 2^53 stays the text that it was sent as, where the browser tells it. */
function keepLargeIntegers(_key, value, context) {
  const isLarge = typeof value === "number" && !Number.isSafeInteger(value);
  return isLarge && /^-?\d+$/.test(context?.source ?? "") ? context.source : value;
}

/**
 * Subscribes to the committed rows of a table. `handlers.snapshot` and `handlers.rows` get arrays
 * of row objects, `handlers.lagged` tells that some were left out. After a break it starts again
 * with a snapshot. Returns a function that ends the subscription.
 */
export function subscribe(table, { limit = 100, ...handlers }) {
  const name = encodeURIComponent(table.database ? `${table.database}.${table.name}` : table.name);
  let source = null;
  let retry = 0;
  const open = () => {
    source = new EventSource(`/api/v1/tables/${name}/live?limit=${limit}`);
    source.addEventListener("snapshot", (event) => handlers.snapshot?.(JSON.parse(event.data)));
    source.addEventListener("rows", (event) => handlers.rows?.(JSON.parse(event.data)));
    source.addEventListener("lagged", () => handlers.lagged?.());
    source.addEventListener("error", () => {
      // The browser reconnects after a break by itself, but not after an answer that is an error.
      if (source.readyState === EventSource.CLOSED) retry = setTimeout(open, LIVE_RETRY_MS);
    });
  };
  open();
  return () => {
    clearTimeout(retry);
    source.close();
  };
}

/** An identifier in double quotes. */
export function quoted(name) {
  return `"${String(name).replaceAll('"', '""')}"`;
}

/** The full name of a table of `/api/v1/tables`, quoted for SQL. */
export function sqlName(table) {
  return table.database ? `${quoted(table.database)}.${quoted(table.name)}` : quoted(table.name);
}
