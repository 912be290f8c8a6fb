// Charts, drawn as SVG without a library: columns over time with axes and a tooltip, and a
// sparkline.
//
// Flow of the column chart: `update(points)` keeps the data, `draw()` lays it out for the width
// that there is (again whenever that changes), `select(slot)` moves the marker and the tooltip.
// A slot is one minute of the axis; a slot without a point is a gap and stays empty. The chart is
// a slider to keyboards and screen readers: arrow keys go from minute to minute, the value is
// spoken.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { top: 12, right: 4, bottom: 26 };
const CHARACTER_WIDTH = 7;
const FEW_VALUES = 12;

function svg(name, attributes = {}, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Evenly spaced round numbers from 0 to at least `max`, about `wanted` of them. */
export function niceTicks(max, wanted) {
  if (!(max > 0)) return [0, 1];
  const rough = max / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const ticks = [];
  for (let index = 0; index <= Math.ceil(max / step - 1e-9); index += 1) ticks.push(index * step);
  return ticks;
}

/** How many slots from one time label to the next so that labels do not touch. */
export function labelEvery(slotWidth, labelWidth) {
  return [1, 2, 5, 10, 15, 30, 60].find((slots) => slots * slotWidth >= labelWidth) ?? 60;
}

/** Columns over time. */
export class ColumnChart {
  #points = [];
  #domain = { start: 0, slots: 1, slotMs: 60_000 };
  #selected = null;
  #layout = null;

  /**
   * `options`: `label` (what it shows), `axis(value)` and `time(ms)` as text, and
   * `describe(point | undefined, ms)` = `[[name, value], …]`, the lines of the tooltip.
   */
  constructor(root, options) {
    this.root = root;
    this.options = options;
    this.surface = svg("svg", { focusable: "false", "aria-hidden": "true" });
    this.tooltip = document.createElement("div");
    this.tooltip.className = "tooltip";
    this.tooltip.hidden = true;
    root.replaceChildren(this.surface, this.tooltip);
    root.tabIndex = 0;
    root.setAttribute("role", "slider");
    root.setAttribute("aria-label", `${options.label}. Arrow keys go from minute to minute.`);
    root.addEventListener("pointermove", (event) => this.#onPointer(event));
    root.addEventListener("pointerdown", (event) => this.#onPointer(event));
    root.addEventListener("pointerleave", () => this.select(null));
    root.addEventListener("blur", () => this.select(null));
    root.addEventListener("keydown", (event) => this.#onKey(event));
    new ResizeObserver(() => this.draw()).observe(root);
  }

  /** `points`: `[{start, value, …}]` by time; `domain`: `{start, slots, slotMs}` of the axis. */
  update(points, domain) {
    // The marker stays on its minute while the axis moves on.
    if (this.#selected !== null) {
      const at = this.#domain.start + this.#selected * this.#domain.slotMs;
      const slot = (at - domain.start) / domain.slotMs;
      this.#selected = slot >= 0 && slot < domain.slots ? slot : null;
    }
    this.#points = points;
    this.#domain = domain;
    this.draw();
  }

  /** Lays everything out for the present size. */
  draw() {
    const width = this.root.clientWidth;
    const height = this.root.clientHeight;
    if (!width || !height || !this.#points.length) return;
    const ticks = niceTicks(Math.max(...this.#points.map((point) => point.value)), 4);
    const labels = ticks.map(this.options.axis);
    const left = Math.max(...labels.map((label) => label.length)) * CHARACTER_WIDTH + 12;
    const plot = {
      left,
      top: MARGIN.top,
      width: width - left - MARGIN.right,
      height: height - MARGIN.top - MARGIN.bottom,
      max: ticks.at(-1),
    };
    plot.slot = plot.width / this.#domain.slots;
    this.#layout = plot;
    this.surface.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.surface.replaceChildren(
      ...ticks.flatMap((tick, index) => this.#gridLine(tick, labels[index])),
      ...this.#timeLabels(),
      ...this.#columns(),
    );
    this.root.setAttribute("aria-valuemin", "0");
    this.root.setAttribute("aria-valuemax", String(this.#domain.slots - 1));
    this.select(this.#selected);
  }

  #y(value) {
    const { top, height, max } = this.#layout;
    return top + height * (1 - value / max);
  }

  #gridLine(tick, label) {
    const { left, width } = this.#layout;
    const y = Math.round(this.#y(tick)) + 0.5;
    const kind = tick === 0 ? "axis" : "grid";
    return [
      svg("line", { class: kind, x1: left, x2: left + width, y1: y, y2: y }),
      svg("text", { class: "tick", x: left - 8, y: y + 4, "text-anchor": "end" }, label),
    ];
  }

  #timeLabels() {
    const { left, top, width, height, slot } = this.#layout;
    const { start, slots, slotMs } = this.#domain;
    const every = labelEvery(slot, 58);
    const made = [];
    for (let index = 0; index < slots; index += 1) {
      const ms = start + index * slotMs;
      const x = left + (index + 0.5) * slot;
      const fits = x - 18 > left - 8 && x + 18 < left + width + 4;
      if ((ms / slotMs) % every !== 0 || !fits) continue;
      made.push(
        svg("text", { class: "tick", x, y: top + height + 19, "text-anchor": "middle" },
          this.options.time(ms)),
      );
    }
    return made;
  }

  #columns() {
    const { left, slot } = this.#layout;
    const gap = slot > 12 ? 3 : slot > 5 ? 1.5 : 0.5;
    return this.#points.map((point) => {
      const index = this.#slotOf(point.start);
      const y = this.#y(point.value);
      const height = Math.max(this.#y(0) - y, point.value > 0 ? 1 : 0);
      return svg("rect", {
        class: "column",
        "data-slot": index,
        x: left + index * slot + gap / 2,
        y: this.#y(0) - height,
        width: Math.max(slot - gap, 1),
        height,
        rx: Math.min(3, slot / 4),
      });
    });
  }

  #slotOf(ms) {
    return Math.round((ms - this.#domain.start) / this.#domain.slotMs);
  }

  /** Marks a slot and tells about it; `null` for none. */
  select(slot) {
    this.#selected = slot;
    for (const column of this.surface.querySelectorAll(".column")) {
      column.classList.toggle("selected", Number(column.dataset.slot) === slot);
    }
    this.root.classList.toggle("has-selection", slot !== null);
    this.tooltip.hidden = slot === null;
    const told = slot ?? this.#slotOf(this.#points.at(-1).start);
    const ms = this.#domain.start + told * this.#domain.slotMs;
    const point = this.#points.find((candidate) => candidate.start === ms);
    const lines = this.options.describe(point, ms);
    this.root.setAttribute("aria-valuenow", String(told));
    this.root.setAttribute(
      "aria-valuetext",
      `${this.options.time(ms)}: ${lines.map(([name, value]) => `${value} ${name}`).join(", ")}`,
    );
    if (slot !== null) this.#placeTooltip(slot, ms, lines);
  }

  #placeTooltip(slot, ms, lines) {
    const title = document.createElement("strong");
    const end = ms + this.#domain.slotMs;
    title.textContent = `${this.options.time(ms)} – ${this.options.time(end)}`;
    const rows = lines.map(([name, value]) => {
      const row = document.createElement("span");
      const figure = document.createElement("b");
      figure.textContent = value;
      row.append(figure, ` ${name}`);
      return row;
    });
    this.tooltip.replaceChildren(title, ...rows);
    const { left, slot: slotWidth } = this.#layout;
    const centre = left + (slot + 0.5) * slotWidth;
    // Beside the column, on the side where there is room, so that it hides its neighbours only.
    const wide = this.tooltip.offsetWidth;
    const away = slotWidth / 2 + 8;
    const isRight = centre > this.root.clientWidth / 2;
    const x = Math.max(0, isRight ? centre - away - wide : centre + away);
    this.tooltip.style.transform = `translate(${Math.round(x)}px, 0)`;
  }

  #onPointer(event) {
    if (!this.#layout) return;
    const { left, slot } = this.#layout;
    const x = event.clientX - this.root.getBoundingClientRect().left - left;
    const index = Math.floor(x / slot);
    this.select(index >= 0 && index < this.#domain.slots ? index : null);
  }

  #onKey(event) {
    if (!this.#layout) return;
    const last = this.#domain.slots - 1;
    const from = this.#selected ?? last;
    const moves = {
      ArrowLeft: this.#selected === null ? last : from - 1,
      ArrowRight: this.#selected === null ? last : from + 1,
      Home: 0,
      End: last,
      Escape: null,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const to = moves[event.key];
    this.select(to === null ? null : Math.min(Math.max(to, 0), last));
  }
}

/** A line without axes over the last `capacity` values. */
export class Sparkline {
  #values = [];

  constructor(root, capacity) {
    this.capacity = capacity;
    this.surface = svg("svg", { viewBox: "0 0 100 24", preserveAspectRatio: "none" });
    this.area = svg("path", { class: "spark-area" });
    this.line = svg("path", { class: "spark-line", "vector-effect": "non-scaling-stroke" });
    this.surface.append(this.area, this.line);
    root.replaceChildren(this.surface);
  }

  /** Forgets what was pushed. */
  clear() {
    this.#values = [];
    this.area.removeAttribute("d");
    this.line.removeAttribute("d");
  }

  push(value) {
    this.#values.push(value);
    if (this.#values.length > this.capacity) this.#values.shift();
    if (this.#values.length < 2) return;
    const max = Math.max(...this.#values) || 1;
    // Few values are spread wide, so that a young line is not a splinter at the edge.
    const slots = Math.max(this.#values.length, Math.min(this.capacity, FEW_VALUES));
    const step = 100 / (slots - 1);
    const first = slots - this.#values.length;
    const points = this.#values.map(
      (each, index) => `${((first + index) * step).toFixed(2)} ${(23 - 21 * (each / max)).toFixed(2)}`,
    );
    this.line.setAttribute("d", `M${points.join("L")}`);
    this.area.setAttribute("d", `M${(first * step).toFixed(2)} 24L${points.join("L")}L100 24Z`);
  }
}
