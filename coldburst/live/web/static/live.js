"use strict";
// The live page: fetches new figures once a second and shows them. Texts are set as text, never as HTML.

const EVERY_MS = 1000;
const COLOURS = {
  ok: "blue", failed: "red", wrong: "purple", queue_timeout: "orange", throttled: "yellow", busy: "dark-yellow", refused: "dark-purple",
  timed_out: "dark-red", unreachable: "ink", abandoned: "faint", unfinished: "grey", not_sent: "pale",
};
const MEANINGS = Object.fromEntries([...document.querySelectorAll("#meanings dt")].map((term) => [term.textContent, term.nextElementSibling.textContent]));
const charts = Object.keys(LINES).map((name) => [name, new Chart(name)]);
let known = { run: "", columns: null };

function put(id, text) {
  document.getElementById(id).textContent = text;
}

function make(tag, { text, cls, ...more } = {}, ...children) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (cls) element.className = cls;
  Object.assign(element, more);
  element.append(...children);
  return element;
}

function seconds(value) {
  return value === null ? "–" : value < 1 ? `${number(value * 1000)} ms` : `${number(value)} s`;
}

function perSecond(value) {
  return value === null ? "–" : `${number(value)}/s`;
}

// The state in words: a run has ended when its report is there to be read, or could not be made.
function state(run, runs) {
  if (!run.finished) return run.stopping ? "stopping" : "running";
  const listed = runs.find((one) => one.id === run.id);
  return listed?.report ? "report ready" : listed?.fault ? "ended without a report" : "making the report";
}

// Rows and columns of the tables below the charts, by the id of their section.
const TABLES = {
  problems: {
    rows: (run) => run.problems,
    columns: {
      Outcome: (one) => one.outcome, Cause: (one) => one.cause, Attempts: (one) => one.count,
      First: (one) => at(one.first_s), Last: (one) => at(one.last_s), "Last message": (one) => one.detail,
    },
  },
  cold: {
    rows: (run) => run.last_cold_starts.slice(0, 50),
    columns: {
      At: (one) => at(one.at_s), "Endpoint worker": (one) => one.worker_id, "Queue delay": (one) => seconds(value(one.seconds)),
      Stage: (one) => one.stage, Request: (one) => one.seq + 1,
    },
  },
  workers: {
    rows: (run) => [...new Set(Object.values(run.workers).flatMap(Object.keys))].map((state) => ({
      state, health: run.workers.health?.[state] ?? "–", listed: run.workers.workers?.[state] ?? "–",
    })),
    columns: { State: (one) => one.state, "By /health": (one) => one.health, "By the worker list": (one) => one.listed },
  },
};

// A number of an event, which may be missing or a text.
function value(given) {
  return given === null || given === "" ? null : Number(given);
}

function at(given) {
  return value(given) === null ? "–" : `${value(given).toFixed(1)} s`;
}

// [name, figure, text below the figure, whether it is an alarm]
function tiles(run) {
  const { outcomes, last_second: now, overall, response_s: times } = run;
  const others = Object.entries(outcomes).filter(([name, count]) => !["ok", "not_sent"].includes(name) && count);
  const seen = Object.entries(run.workers[run.view] || {}).filter(([, count]) => count);
  const left = run.finished ? `ended after ${clock(run.elapsed_s)}` : `${clock(run.elapsed_s)} so far`;
  return [
    ["Stage", run.stage || "starting", run.stages > 1 && run.place ? `${run.place} of ${run.stages}` : ""],
    ["Sending", run.finished ? "ended" : run.left_s === null ? "until the last answer" : `${clock(run.left_s)} left`, left],
    ["Sent", run.planned === null ? number(run.sent) : `${run.sent} of ${run.planned}`, run.finished ? (outcomes.not_sent ? `${outcomes.not_sent} not sent` : "") : `${perSecond(now.sent)}, offered ${perSecond(now.offered)}`],
    ["In flight", number(run.in_flight), run.held ? `${run.held} held at the limit` : ""],
    ["Answered ok", number(run.ok), run.finished ? `${perSecond(overall.ok)} overall` : `${perSecond(now.ok)}, ${perSecond(overall.ok)} overall`],
    ["Not ok", number(run.not_ok), others.map(([name, count]) => `${count} ${name}`).join(", "), run.not_ok > 0],
    ["Cold starts", number(run.cold_starts), ""],
    ["Queue time-outs", number(run.attempts.queue_timeout), run.attempts.throttled ? `${run.attempts.throttled} throttled (429)` : "", run.attempts.queue_timeout > 0],
    ["Response time P50", seconds(times.p50_s), times.n ? `P95 ${seconds(times.p95_s)}, last ${times.n} ok` : "no answer yet"],
    ["Queue delay P50", seconds(run.queue_s.p50_s), run.queue_s.n ? `P95 ${seconds(run.queue_s.p95_s)}, last ${run.queue_s.n} ok` : ""],
    ["Jobs in the queue", number(run.jobs.in_queue), run.jobs.in_progress === undefined ? "" : `${run.jobs.in_progress} with a worker`],
    ["Load generators", number(run.generators), `send delay ${seconds(run.lateness_s)}`],
    ["Endpoint workers", number(run.paid_workers ?? run.workers.health?.running), run.view ? seen.map(([name, count]) => `${count} ${name}`).join(", ") : run.finished ? "" : "unknown"],
    ["Estimated cost", run.usd === null ? "–" : `${run.usd.toPrecision(3)}${run.limit_usd === null ? "" : ` of ${run.limit_usd}`} USD`, run.worker_s === null ? "endpoint workers unknown" : `${number(run.worker_s)} worker-seconds${run.usd === null ? ", no --price" : ""}`],
  ];
}

function tile([name, figure, beside, alarm]) {
  const long = figure.length > 10 ? "figure long" : "figure";
  return make("div", { cls: alarm ? "alarm" : "" }, make("dt", { text: name }), make("dd", { text: figure, cls: long }), make("dd", { text: beside, cls: "beside" }));
}

function ledger(run) {
  const parts = Object.entries(run.outcomes).filter(([, count]) => count);
  const ended = parts.reduce((sum, [, count]) => sum + count, 0);
  const open = Math.max((run.planned ?? run.sent) - ended, 0);
  const plan = run.planned === null ? `${run.sent} sent` : `${run.planned} planned`;
  const sum = [...parts.map(([name, count]) => `${count} ${name}`), ...(open ? [`${open} not ended`] : [])].join(" + ");
  put("equation", run.ledger || `${plan} = ${sum || "0"}`);
  const bar = document.getElementById("bar");
  bar.setAttribute("aria-label", run.ledger || sum);
  const spans = parts.map(([name, count]) => {
    const span = make("span", { title: `${count} ${name}` });
    span.style.flex = `${count} 0 0`;
    span.style.background = `var(--${COLOURS[name]})`;
    return span;
  });
  if (open) {
    const span = make("span", { title: `${open} not ended` });
    span.style.flex = `${open} 0 0`;
    spans.push(span);
  }
  bar.replaceChildren(...spans);
  document.getElementById("outcomes").replaceChildren(...parts.map(([name, count]) => {
    const mark = make("i");
    mark.style.background = `var(--${COLOURS[name]})`;
    return make("li", { title: MEANINGS[name] }, mark, `${name} ${count}${run.planned ? ` (${number((count / run.planned) * 100)} %)` : ""}`);
  }));
}

function table(id, run) {
  const { rows, columns } = TABLES[id];
  const found = rows(run);
  const section = document.getElementById(id);
  section.hidden = !found.length;
  const head = make("tr", {}, ...Object.keys(columns).map((text) => make("th", { text, scope: "col" })));
  const cell = (one) => ([name, show]) => {
    const td = make("td", { text: String(show(one)) });
    td.dataset.name = name;
    return td;
  };
  const body = found.map((one) => make("tr", {}, ...Object.entries(columns).map(cell(one))));
  section.querySelector("table").replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
}

function row(run) {
  const links = [];
  if (run.report) links.push(make("a", { text: "Report", href: run.report }));
  if (run.download) links.push(make("a", { text: "Download (zip)", href: run.download }));
  const verdict = run.verdict ? make("span", { text: run.verdict, cls: `pill ${run.verdict}` })
    : run.fault || (run.finished && !run.report ? "making the report" : "");
  return make("tr", {}, make("th", { text: run.id, scope: "row" }), make("td", { text: run.finished ? run.ended_by : "running" }),
    make("td", { text: run.ledger }), make("td", {}, verdict), make("td", {}, ...links));
}

function take(run, samples) {
  if (known.run !== run.id || !known.columns) known = { run: run.id, columns: samples };
  else for (const [name, values] of Object.entries(samples)) known.columns[name].push(...values);
}

function show({ run, samples, runs }) {
  document.getElementById("going").hidden = !run;
  document.getElementById("history").hidden = !runs.length;
  document.getElementById("runs").replaceChildren(...runs.map(row));
  const pill = document.getElementById("state");
  pill.hidden = !run;
  put("question", run ? run.question : "No run yet");
  offer(run);
  if (!run) return;
  const word = state(run, runs);
  pill.textContent = word;
  pill.className = `pill ${word}`;
  document.title = `${run.question}: ${word}`;
  put("id", run.id);
  const stop = document.getElementById("stop");
  stop.hidden = run.finished;
  stop.disabled = run.stopping;
  stop.textContent = run.stopping ? "Stopping …" : "Stop the run";
  ledger(run);
  document.getElementById("tiles").replaceChildren(...tiles(run).map(tile));
  if (run.view) put("view", { workers: "Workers by state, from the worker list (REST v2). Right: jobs in the queue, from /health.",
    health: "Workers by state and, right, jobs in the queue, from /health." }[run.view]);
  for (const id of Object.keys(TABLES)) table(id, run);
  take(run, samples);
  for (const [, chart] of charts) if (known.columns.at_s.length) chart.show(known.columns); else chart.say("The first second has not ended yet.");
}

// New figures; null if the web UI does not answer or asks for a login.
async function asked() {
  try {
    const last = known.columns?.at_s.at(-1) ?? -1;
    const answer = await fetch(`live.json?run=${encodeURIComponent(known.run)}&since=${last}`, { cache: "no-store" });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

async function look() {
  const news = await asked();
  document.getElementById("lost").hidden = Boolean(news);
  if (news) show(news);
  setTimeout(look, EVERY_MS);
}

// Shows the form while nothing runs: open before the first run, folded after one.
let offered = null;
function offer(run) {
  const start = document.getElementById("start"), now = !run ? "first" : run.finished ? "again" : "none";
  start.hidden = now === "none";
  if (now === offered) return;
  start.open = now === "first";
  start.firstElementChild.textContent = now === "again" ? "Start another run" : "Start a run";
  offered = now;
}

document.getElementById("form").addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const button = submit.target.querySelector("button");
  button.disabled = true;
  put("refused", "");
  try {
    const answer = await fetch("../swarm", { method: "POST", body: new URLSearchParams(new FormData(submit.target)) });
    const { success, message } = await answer.json();
    put("refused", success ? "" : message);
  } catch {
    put("refused", "The web UI does not answer.");
  }
  button.disabled = false;
});

document.getElementById("stop").addEventListener("click", async (click) => {
  click.target.disabled = true;
  click.target.textContent = "Stopping …";
  await fetch("../stop", { method: "POST" });
});
look();
