"use strict";
// The four charts of the live page, drawn by uPlot from columns of samples.

const HEIGHT = 240;
const LINES = {
  load: {
    right: "in flight",
    left: "per second",
    lines: [
      { column: "offered_per_s", label: "offered", colour: "faint", dash: [6, 4] },
      { column: "ok_per_s", label: "ok", colour: "blue" },
      { column: "not_ok_per_s", label: "not ok", colour: "red" },
      { column: "in_flight", label: "in flight", colour: "green", scale: "right", whole: true },
    ],
  },
  times: {
    right: "not ok per second",
    // Without a request that ended otherwise, there is no axis for it.
    onlyIf: "not_ok_per_s",
    left: "seconds",
    lines: [
      { column: "p50_s", label: "P50", colour: "blue", unit: " s" },
      { column: "p95_s", label: "P95", colour: "purple", unit: " s" },
      { column: "not_ok_per_s", label: "not ok/s", colour: "red", scale: "right", bars: true },
    ],
  },
  endpoint: {
    right: "jobs in the queue",
    left: "endpoint workers",
    absent: "This endpoint reports neither workers nor a queue.",
    lines: [
      { column: "running", label: "running", colour: "blue", steps: true, whole: true },
      { column: "idle", label: "idle", colour: "green", steps: true, whole: true },
      { column: "initializing", label: "starting", colour: "sky", steps: true, whole: true },
      { column: "throttled", label: "throttled", colour: "purple", steps: true, whole: true },
      { column: "unhealthy", label: "unhealthy", colour: "red", steps: true, whole: true },
      { column: "in_queue", label: "in queue", colour: "orange", scale: "right", steps: true, whole: true, fill: true },
    ],
  },
  lateness: {
    left: "milliseconds",
    lines: [{ column: "lateness_s", label: "largest", colour: "ink", times: 1000, unit: " ms", fill: true }],
  },
};

function colour(name, alpha = "") {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim() + alpha;
}

function clock(seconds) {
  const whole = Math.round(seconds);
  const rest = String(whole % 60).padStart(2, "0");
  return whole < 3600 ? `${Math.floor(whole / 60)}:${rest}` : `${Math.floor(whole / 3600)}:${String(Math.floor(whole / 60) % 60).padStart(2, "0")}:${rest}`;
}

// Three significant digits, without an exponent.
function number(value, whole = false) {
  if (value === null || value === undefined) return "–";
  if (whole || Number.isInteger(value)) return String(Math.round(value));
  return Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6];
const PARTS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

function axis(scale, label, side, whole = false) {
  return {
    scale, label, side, size: 46, labelSize: 18, labelFont: "12px system-ui, sans-serif", font: "11px system-ui, sans-serif",
    stroke: colour("faint"), labelGap: 2, gap: 4,
    grid: { show: side === 3, stroke: colour("grid"), width: 1 }, ticks: { show: false },
    values: (_, marks) => marks.map((mark) => (mark === null ? "" : String(Number(mark.toPrecision(6))))),
    incrs: whole ? STEPS : [...PARTS, ...STEPS],
  };
}

function fromZero(least) {
  return (_, low, high) => [0, Math.max(high || 0, least) * 1.08];
}

class Chart {
  constructor(name) {
    this.place = document.getElementById(name);
    this.kind = LINES[name];
    this.plot = null;
    this.data = null;
    this.right = true;
    new ResizeObserver(() => this.plot && this.plot.setSize({ width: this.place.clientWidth, height: HEIGHT })).observe(this.place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.again());
  }

  // Draws columns of samples, or a sentence if they are empty.
  show(columns) {
    this.data = [columns.at_s, ...this.kind.lines.map((line) => columns[line.column].map((v) => (v === null ? null : v * (line.times || 1))))];
    const empty = this.kind.absent && this.data.slice(1).every((values) => values.every((value) => value === null));
    if (empty) return this.say(this.kind.absent);
    const right = !this.kind.onlyIf || columns[this.kind.onlyIf].some((value) => value > 0);
    if (right !== this.right) this.clear();
    this.right = right;
    if (!this.plot) {
      this.place.replaceChildren();
      this.plot = new uPlot(this.options(), this.data, this.place);
    } else this.plot.setData(this.data);
    this.tell();
  }

  // Shows the latest figures in the legend while the pointer is elsewhere.
  tell() {
    const last = this.data[0].findLastIndex((_, place) => this.data.slice(1).some((values) => values[place] !== null));
    if (last >= 0 && (this.plot.cursor.idx ?? null) === null) this.plot.setLegend({ idx: last });
  }

  say(sentence) {
    this.clear();
    const note = document.createElement("p");
    note.className = "absent";
    note.textContent = sentence;
    this.place.replaceChildren(note);
  }

  clear() {
    if (this.plot) this.plot.destroy();
    this.plot = null;
  }

  again() {
    if (!this.plot) return;
    this.clear();
    this.plot = new uPlot(this.options(), this.data, this.place);
    this.tell();
  }

  options() {
    const axes = [{ ...axis("x", null, 2), size: 28, labelSize: 0, values: (_, marks) => marks.map(clock), incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200] }];
    for (const [scale, side] of [["left", 3], ["right", 1]]) {
      const lines = this.kind.lines.filter((line) => (line.scale || "left") === scale);
      if (lines.length && (scale === "left" || this.right)) axes.push(axis(scale, this.kind[scale], side, lines.every((line) => line.whole)));
    }
    return {
      width: this.place.clientWidth, height: HEIGHT, padding: [8, null, 0, null], axes,
      scales: {
        x: { time: false, range: (_, low, high) => [0, Math.max(high || 0, 10)] },
        left: { range: fromZero(this.kind.left === "milliseconds" ? 5 : 1) },
        right: { range: fromZero(1) },
      },
      series: [{ label: "at", value: (_, v) => (v === null ? "–" : clock(v)) }, ...this.kind.lines.map((line) => this.line(line))],
      cursor: { sync: { key: "coldburst" }, drag: { x: false, y: false }, points: { size: 6 } },
      legend: { markers: { width: 0, fill: (plot, index) => plot.series[index]._stroke || plot.series[index].stroke() } },
    };
  }

  line({ label, colour: name, scale = "left", dash, steps, bars, whole, fill, unit = "" }) {
    return {
      label, scale, dash, stroke: () => colour(name), width: bars ? 0 : 2,
      fill: bars ? () => colour(name) : fill ? () => colour(name, "22") : undefined,
      paths: bars ? uPlot.paths.bars({ size: [0.7, 14] }) : steps ? uPlot.paths.stepped({ align: 1 }) : undefined,
      points: { show: false },
      value: (_, v) => (v === null || v === undefined ? "–" : number(v, whole) + unit),
    };
  }
}
