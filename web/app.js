// The live page: asks the server once a second how the pipelines are and hands the answer to the
// panels.
//
// Flow: `tick` -> `/api/v1/pipelines` (and now and then `/api/v1/tables`) -> `header`, `tiles` and
// every panel's `update({pipeline, tables})`. A panel keeps its own part of the document and asks
// for more itself. When nobody answers, a banner says so, what is shown stays, dimmed, and the
// next try comes a little later each time. A hidden page asks for nothing and holds no connection.

import { byId, element, setShown, setText } from "./dom.js";
import { ApiError, getJson } from "./api.js";
import { Anomalies } from "./anomalies.js";
import { ClickPanels } from "./clicks.js";
import { Console } from "./console.js";
import { Inside, Tables } from "./inside.js";
import { Rejects } from "./rejects.js";
import { Sparkline } from "./chart.js";
import { count, duration, plural, secondOf, UNKNOWN, watermarkOf } from "./format.js";

const TICK_MS = 1_000;
const TABLES_EVERY = 5;
const RETRY_MAX_MS = 8_000;
const SPARK_SECONDS = 120;

const sqlConsole = new Console();
const clicks = new ClickPanels();
const anomalies = new Anomalies();
const tablesPanel = new Tables((query) => sqlConsole.run(query));
const panels = [clicks, anomalies, new Rejects(), sqlConsole, tablesPanel, new Inside()];
const live = [clicks, anomalies, tablesPanel];
const spark = new Sparkline(byId("rate-spark"), SPARK_SECONDS);

const state = { pipelines: [], tables: [], selected: null, ticks: 0, failures: 0, timer: 0 };

// One timer, whoever asked for the tick that sets it.
function schedule(ms) {
  clearTimeout(state.timer);
  state.timer = setTimeout(tick, ms);
}

async function tick() {
  if (document.hidden) return;
  try {
    const wantsTables = state.ticks % TABLES_EVERY === 0;
    const [pipelines, tables] = await Promise.all([
      getJson("/api/v1/pipelines"),
      wantsTables ? getJson("/api/v1/tables") : state.tables,
    ]);
    state.ticks += 1;
    state.pipelines = pipelines;
    state.tables = tables;
    if (state.failures > 0) onRecovered();
    render();
    schedule(TICK_MS);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    onFailed(error);
  }
}

function onFailed(error) {
  state.failures += 1;
  const wait = Math.min(TICK_MS * 2 ** (state.failures - 1), RETRY_MAX_MS);
  const banner = byId("banner");
  setText(
    banner,
    error.offline
      ? "Connection lost: Millstream does not answer. Trying again…"
      : `The server answers with an error: ${error.message}. Trying again…`,
  );
  setShown(banner, true);
  document.body.classList.add("offline");
  const pill = byId("job-state");
  pill.dataset.state = "offline";
  setText(pill, "reconnecting");
  for (const panel of live) panel.pause();
  schedule(wait);
}

function onRecovered() {
  state.failures = 0;
  state.ticks = 0;
  spark.clear();
  setShown(byId("banner"), false);
  document.body.classList.remove("offline");
  for (const panel of live) panel.resume();
}

function render() {
  const pipeline =
    state.pipelines.find((candidate) => candidate.pipeline === state.selected) ?? state.pipelines[0] ?? null;
  renderHeader(pipeline);
  renderTiles(pipeline);
  for (const panel of panels) panel.update({ pipeline, tables: state.tables });
}

function renderHeader(pipeline) {
  const select = byId("job-select");
  const names = state.pipelines.map((candidate) => candidate.pipeline);
  setShown(select, names.length > 1);
  setShown(byId("job-name"), names.length <= 1);
  if ([...select.options].map((option) => option.value).join() !== names.join()) {
    select.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  }
  if (pipeline) select.value = pipeline.pipeline;
  setText(byId("job-name"), pipeline?.pipeline ?? "no pipeline");
  const pill = byId("job-state");
  setShown(pill, Boolean(pipeline));
  pill.dataset.state = pipeline?.state ?? "stopped";
  setText(pill, pipeline?.state ?? "");
  const reason = byId("job-reason");
  setShown(reason, Boolean(pipeline?.reason));
  setText(reason, pipeline?.reason ?? "");
}

function renderTiles(pipeline) {
  if (!pipeline) {
    for (const id of ["rate", "lag", "epoch", "read"]) setText(byId(id), UNKNOWN);
    for (const id of ["lag-note", "epoch-note", "read-note"]) setText(byId(id), "");
    return;
  }
  const rate = pipeline.rate_rows_per_second ?? 0;
  setText(byId("rate"), count(rate));
  spark.push(rate);

  const { ms, ended } = watermarkOf(pipeline);
  setText(byId("lag"), duration(pipeline.lag_ms ?? NaN));
  setText(byId("lag-note"), ended ? "end of input" : ms === undefined ? "no events yet" : `at ${secondOf(ms)} UTC`);

  setText(byId("epoch"), pipeline.epoch ? count(pipeline.epoch) : UNKNOWN);
  const rewound = pipeline.incarnation > 0 ? `, incarnation ${count(pipeline.incarnation)}` : "";
  setText(
    byId("epoch-note"),
    pipeline.epoch ? `committed in ${duration(pipeline.epoch_ms)}${rewound}` : "nothing committed yet",
  );

  const read = pipeline.sources.reduce((total, source) => total + source.rows_read, 0);
  const splits = pipeline.sources.reduce((total, source) => total + source.splits.length, 0);
  setText(byId("read"), count(read));
  setText(byId("read-note"), `${plural(pipeline.sources.length, "source")}, ${plural(splits, "split")}`);
}

byId("job-select").addEventListener("change", (event) => {
  state.selected = event.target.value;
  spark.clear();
  render();
});

document.addEventListener("visibilitychange", () => {
  for (const panel of live) {
    if (document.hidden) panel.pause();
    else if (!state.failures) panel.resume();
  }
  if (!document.hidden) tick();
});

tick();
