// A stand-in for `millstream demo`, for looking at the page without the binary: serves web/ with
// the server's security header and answers the API with data that moves.
//
//   node mock-server.mjs [--port 8099] [--scene live|start|empty|generic|stalled|finished|none]
//
// live: an hour of windows; start: no event yet; empty: events, but no window closed; generic:
// two pipelines, none of them about clicks; stalled: not reading; finished: all input read; none:
// no pipeline at all.
// It knows the page's own queries and a few more; it is no SQL engine.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { answerSql, clickTables, pipelines, toJson, windowRows } from "./mock-data.mjs";

const WEB = new URL("../../web/", import.meta.url);
const TYPES = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

function sendJson(response, status, value) {
  const type = status < 400 ? "application/json" : "application/problem+json";
  response.writeHead(status, { "content-type": type, "cache-control": "no-cache" });
  response.end(toJson(value));
}

function problem(response, status, title, detail) {
  sendJson(response, status, { type: "about:blank", title, status, detail });
}

async function sendFile(response, path) {
  const name = path === "/" ? "index.html" : path.slice(1);
  if (!/^[a-z]+\.(html|js|css|svg)$/.test(name)) return problem(response, 404, "Not Found", `no \`${path}\``);
  try {
    const body = await readFile(fileURLToPath(new URL(name, WEB)));
    response.writeHead(200, {
      "content-type": TYPES[name.split(".").pop()],
      "content-security-policy": "default-src 'self'",
      "cache-control": "no-cache",
    });
    response.end(body);
  } catch {
    problem(response, 404, "Not Found", `no \`${path}\``);
  }
}

function sendLive(response, scene) {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  const send = (event, rows) => response.write(`event: ${event}\ndata: ${JSON.stringify(rows)}\n\n`);
  const hasRows = scene !== "empty" && scene !== "start";
  send("snapshot", hasRows ? windowRows(20) : []);
  const timer = setInterval(() => hasRows && send("rows", windowRows(5)), 3_000);
  response.on("close", () => clearInterval(timer));
}

async function bodyOf(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}

async function handle(request, response, scene) {
  const path = new URL(request.url, "http://mock").pathname;
  if (path === "/api/v1/pipelines") return sendJson(response, 200, pipelines(scene));
  if (path === "/api/v1/tables") return sendJson(response, 200, clickTables(scene));
  if (/^\/api\/v1\/pipelines\/[^/]+\/plan$/.test(path)) {
    response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
    return response.end("Sink page_minute_agg\n└─ WindowAggregate TUMBLE(1 min)\n   └─ Source clicks\n");
  }
  if (/^\/api\/v1\/tables\/[^/]+\/live$/.test(path)) return sendLive(response, scene);
  if (path === "/api/v1/sql" && request.method === "POST") {
    const { query } = JSON.parse(await bodyOf(request));
    const answer = answerSql(query, scene);
    if (answer.error) return problem(response, 400, "Invalid query", answer.error);
    return sendJson(response, 200, answer);
  }
  return sendFile(response, path);
}

/** Starts the stand-in; `close()` cuts every connection, as a killed server would. */
export async function startMock({ port = 0, scene = "live" } = {}) {
  const server = createServer((request, response) => handle(request, response, scene));
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    port: server.address().port,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { port: { type: "string", default: "8099" }, scene: { type: "string", default: "live" } },
  });
  const mock = await startMock({ port: Number(values.port), scene: values.scene });
  console.log(`scene ${values.scene} at ${mock.url}`);
}
