// The page of the HTTP API: draws /api/v1/openapi.json, and lets what only reads be tried.
//
// Flow: document -> one section a tag -> one card an operation: parameters, body, answers, and for
// a GET a form that sends it. Schemas are drawn as text, with names resolved in their place.

import { byId, element, setText } from "./dom.js";

const SHOWN_MAX = 20_000;
const ANSWER_WITHIN_MS = 10_000;
const DEPTH_MAX = 6;

start();

async function start() {
  try {
    const response = await fetch("/api/v1/openapi.json");
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    draw(await response.json());
  } catch (error) {
    setText(byId("api-status"), `The document cannot be read: ${error.message}.`);
  }
}

function draw(api) {
  setText(byId("api-status"), `${api.info.title} ${api.info.version}: ${api.info.description}.`);
  const groups = Map.groupBy(operations(api), (operation) => operation.tags?.[0] ?? "other");
  for (const [name, members] of groups) {
    byId("api").append(element("h2", { class: "api-group" }, name));
    for (const operation of members) {
      byId("api").append(card(api, operation));
      const link = `${operation.method.toUpperCase()} ${operation.path}`;
      byId("api-index").append(element("a", { class: "chip", href: `#${operation.id}` }, link));
    }
  }
  // The section that the address names is there only now.
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

/** Every operation, with its method, path and an id for links. */
function operations(api) {
  return Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      ...operation,
      method,
      path,
      id: `${method}${path.replaceAll(/[^\w]+/g, "-")}`.replace(/-$/, ""),
    })),
  );
}

function card(api, operation) {
  const head = element(
    "div",
    { class: "operation-head" },
    element("span", { class: "method", "data-method": operation.method }, operation.method.toUpperCase()),
    element("h3", {}, operation.path),
  );
  const made = element("section", { class: "card operation", id: operation.id }, head);
  for (const text of [operation.summary, operation.description]) {
    if (text) made.append(element("p", {}, text));
  }
  const parameters = operation.parameters ?? [];
  if (parameters.length > 0) {
    const rows = parameters.map((parameter) => [
      parameter.name + (parameter.required ? "" : "?"),
      outline(api, parameter.schema ?? {}),
      parameter.description ?? "",
    ]);
    made.append(element("h4", {}, "Parameters"), table(["name", "type", ""], rows));
  }
  if (operation.requestBody) {
    made.append(element("h4", {}, "Body"), ...contents(api, operation.requestBody));
  }
  const answers = Object.entries(operation.responses ?? {});
  const rows = answers.map(([status, answer]) => [
    status,
    Object.keys(answer.content ?? {}).map((type) => type.replace("application/", "")).join(", "),
    answer.description ?? "",
  ]);
  made.append(element("h4", {}, "Answers"), table(["status", "type", ""], rows));
  const success = answers.find(([status]) => status === "200");
  if (success) made.append(...contents(api, { ...success[1], description: "" }));
  const isStream = Object.keys(success?.[1].content ?? {}).includes("text/event-stream");
  if (operation.method === "get" && !isStream) made.append(element("h4", {}, "Try it"), ...tryOut(operation));
  return made;
}

function table(titles, rows) {
  const head = element("tr", {}, ...titles.map((title) => element("th", {}, title)));
  const body = rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))));
  return element("div", { class: "scroll" }, element("table", {}, head, ...body));
}

/** What a body looks like: its description, and the outline of each type that is more than text. */
function contents(api, body) {
  const made = body.description ? [element("p", { class: "note" }, body.description)] : [];
  for (const [type, { schema }] of Object.entries(body.content ?? {})) {
    const text = schema ? outline(api, schema) : "";
    if (!text.includes("\n")) continue;
    const label = `Outline of ${type}`;
    made.push(element("pre", { class: "schema", tabindex: "0", "aria-label": label }, text));
  }
  return made;
}

/** A schema as text that looks like the JSON that it describes. */
function outline(api, schema, indent = "", depth = 0) {
  if (schema.$ref) {
    const named = api.components.schemas[schema.$ref.split("/").pop()];
    return outline(api, named ?? {}, indent, depth + 1);
  }
  if (depth > DEPTH_MAX) return "…";
  const parts = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (parts) {
    const texts = parts.map((part) => outline(api, part, indent, depth + 1));
    return texts.join(schema.allOf ? " and " : " or ");
  }
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  const types = [schema.type ?? "any"].flat();
  if (types.includes("array")) return `[${outline(api, schema.items ?? {}, indent, depth + 1)}]`;
  const properties = Object.entries(schema.properties ?? {});
  if (properties.length === 0) return types.join(" or ");
  const inner = `${indent}  `;
  const lines = properties.map(([name, property]) => {
    const type = outline(api, property, inner, depth + 1);
    const about = property.description ? `   // ${property.description.split("\n")[0]}` : "";
    return type.includes("\n")
      ? `${inner}${name}: ${type.replace("{", `{${about}`)}`
      : `${inner}${name}: ${type}${about}`;
  });
  return `{\n${lines.join("\n")}\n${indent}}`;
}

/** A form that sends a GET, and what came back. */
function tryOut(operation) {
  const inputs = (operation.parameters ?? []).map((parameter) => {
    const input = element("input", {
      name: parameter.name,
      autocomplete: "off",
      spellcheck: "false",
      required: parameter.required && "",
    });
    return { parameter, input };
  });
  const labels = inputs.map(({ parameter, input }) => element("label", {}, parameter.name, input));
  const form = element("form", { class: "try" }, ...labels);
  form.append(element("button", { type: "submit", class: "primary" }, "Send"));
  const status = element("p", { class: "note", role: "status", "aria-live": "polite" });
  const answer = element("pre", { class: "schema", tabindex: "0", "aria-label": "Answer", hidden: "" });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(address(operation.path, inputs), status, answer);
  });
  return [form, status, answer];
}

/** The path with its parameters in their places. */
function address(path, inputs) {
  const query = new URLSearchParams();
  let made = path;
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") {
      made = made.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    } else if (input.value !== "") {
      query.set(parameter.name, input.value);
    }
  }
  return query.size > 0 ? `${made}?${query}` : made;
}

async function send(path, status, answer) {
  setText(status, `GET ${path} …`);
  try {
    const response = await fetch(path, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    const type = response.headers.get("content-type") ?? "";
    const text = pretty(await response.text(), type);
    const isCut = text.length > SHOWN_MAX;
    setText(answer, isCut ? `${text.slice(0, SHOWN_MAX)}\n…` : text);
    setText(status, `GET ${path}: ${response.status}, ${type}`);
    answer.hidden = false;
  } catch (error) {
    setText(status, `GET ${path}: no answer (${error.message})`);
    answer.hidden = true;
  }
}

/** JSON with line breaks; numbers stay as they were sent unless they are too long for JavaScript. */
function pretty(text, type) {
  if (!type.includes("json")) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
