"use strict";
/* Asks for the state once a second and shows it. Text goes in as text, never as HTML. */

const $ = (id) => document.getElementById(id);
const POLL_MS = 1000, LATE_MS = 5000, GONE_MS = 3500, HISTORY_S = 600;
const STAGES = [["verify", "Verify"], ["load", "Load"], ["warm", "Warm up"], ["gate", "Gate"], ["cutting", "Cut over"]];
const WORDS = {
  swapped: ["↻", "busy"], confirmed: ["✓", "good"], succeeded: ["✓", "good"], prepared: ["◔", "busy"],
  requested: ["…", "busy"], rolled_back: ["↶", "warn"], trial_failed: ["✕", "bad"], rejected: ["✕", "bad"],
  failed: ["!", "bad"], superseded: ["–", ""], expired: ["–", ""], interrupted: ["!", "warn"],
  order_running: ["▸", "busy"], unknown_product: ["?", "bad"], held: ["‖", "warn"], tuned: ["≈", "warn"], released: ["▸", ""],
  quarantined: ["⊘", "bad"], unquarantined: ["✓", ""], slot_lost: ["!", "warn"],
  stood_in: ["!", "warn"], rests: ["!", "warn"],
};
let state = null, history = null, answeredAt = Date.now(), isGone = false, streaming = false;

/** An element with properties and children; strings become text. */
function el(tag, props, ...children) {
  const made = ["svg", "rect", "polygon", "circle", "text"].includes(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(props || {})) {
    if (key === "on") made.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}
const text = (id, value) => { if ($(id).textContent !== value) $(id).textContent = value; };
const show = (id, on) => { $(id).hidden = !on; };
const time = (iso) => iso ? new Date(iso).toLocaleTimeString([], { hour12: false }) : "";
const count = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");
const ms = (value) => value === null || value === undefined ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
const said = (word) => (word || "").replaceAll("_", " ");
const split = (ref) => { const at = (ref || "").indexOf("@"); return at < 0 ? [ref || "", ""] : [ref.slice(0, at), ref.slice(at + 1)]; };
const spaced = (ref) => split(ref).join(" ").trim();

function ago(iso) {
  const seconds = Math.max(0, Math.round((Date.parse(state.time) - Date.parse(iso)) / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

/* ---------------------------------------------------------------- asking */

async function ask() {
  const stop = new AbortController(), late = setTimeout(() => stop.abort(), LATE_MS);
  try {
    const whole = !history || Date.now() - answeredAt > 8000;
    const reply = await fetch(`api/state?seconds=${whole ? HISTORY_S : 10}`, { signal: stop.signal, cache: "no-store" });
    if (reply.status === 401) { location.reload(); return; }
    if (!reply.ok) throw new Error(reply.status);
    const next = await reply.json();
    keep(next, whole || !state || state.boot !== next.boot);
    state = next;
    answeredAt = Date.now();
    gone(false);
    render();
  } catch (error) {
    if (Date.now() - answeredAt > GONE_MS) gone(true);
  } finally {
    clearTimeout(late);
    setTimeout(ask, POLL_MS);
  }
}

/** Rows that came, joined to those that are known. */
function keep(next, whole) {
  const came = next.history.at.map((at, i) => ({
    at, ok: next.history.ok[i], ng: next.history.ng[i], empty: next.history.empty[i],
    un: next.history.uninspected[i], drop: next.history.dropped[i], p50: next.history.p50[i], p99: next.history.p99[i],
  }));
  if (whole) { history = came; return; }
  const last = history.length ? history[history.length - 1].at : 0;
  history = history.concat(came.filter((row) => row.at > last)).slice(-HISTORY_S);
}

function gone(now) {
  if (isGone && !now) watch(true);
  isGone = now;
  if (now) renderGone();
  show("gone", now);
  document.body.classList.toggle("is-gone", now);
}

/** Last, whatever was drawn before: an old verdict must not look like one of now. */
function renderGone() {
  const when = state ? time(state.time) : "this page was opened";
  text("gone", `The daemon does not answer. What stands below is from ${when}.`);
  text("pill", "Daemon gone");
  $("pill").className = "pill bad";
  text("word", "No news");
  $("verdict").className = "verdict warn long";
}

/** The window has another size or other colours. */
function redraw() {
  if (!state) return;
  renderPlots();
  renderVerdict();
  if (isGone) renderGone();
}

/** The stream is on while somebody can see it: a hidden page must not take a place. */
function watch(again) {
  const wanted = !document.hidden;
  if (wanted === streaming && !again) return;
  streaming = wanted;
  if (wanted) $("live").src = `live.mjpg?${Date.now()}`;
  else $("live").removeAttribute("src");
}

/* ---------------------------------------------------------------- showing */

function render() {
  document.title = `${state.device} · edge-daemon`;
  text("device", state.device);
  text("clock", time(state.time));
  renderOrder();
  renderPill();
  renderVerdict();
  renderModel();
  renderParts();
  renderRollout();
  renderSlots();
  renderPlots();
  renderTimeline();
  renderRejected();
  renderFacts();
  renderCommands();
  if (isGone) renderGone();
}

function renderOrder() {
  const order = state.order, parts = [];
  if (order.product) parts.push(el("b", {}, order.product));
  if (order.job_order) parts.push(` · order ${order.job_order}${order.running ? "" : " (completed)"}`);
  if (!parts.length) parts.push(el("span", { class: "quiet" }, "No order"));
  if (order.held) parts.push(" ", el("span", { class: "tag warn" }, "held"));
  fill("order", parts);
}

function renderPill() {
  const active = state.model.active, coming = state.coming;
  const moving = coming && STAGES.some(([stage]) => stage === coming.stage) || coming && coming.stage === "preparing";
  let [word, mood] = ["Judging", "good"];
  if (state.camera.state !== "online") [word, mood] = [`Camera ${state.camera.state}`, "bad"];
  else if (!active) [word, mood] = [moving ? "Loading the model" : "No model", moving ? "busy" : "bad"];
  else if (!state.health.healthy) [word, mood] = ["Not judging", "bad"];
  else if (state.order.requires && split(active.model)[0] !== state.order.requires) [word, mood] = ["Changing over · frames wait", "busy"];
  else if (moving) [word, mood] = ["Judging · next model on its way", "busy"];
  else if (!state.broker.online) [word, mood] = ["Judging · broker away", "warn"];
  text("pill", word);
  $("pill").className = `pill ${mood}`;
  const problems = state.health.problems;
  show("problems", problems.length > 0);
  fill("problems", problems.map((each) => el("li", {}, each[0].toUpperCase() + each.slice(1))));
  const away = state.camera.state !== "online";
  show("veil", away);
  if (away) fill("veil", [el("b", {}, `Camera ${state.camera.state}`), el("span", {}, `for ${ago(state.camera.since)}`),
    el("span", {}, state.camera.error || ""), el("span", {}, state.camera.hint || "")]);
}

function renderVerdict() {
  const last = state.last, minute = history.slice(-60);
  const sum = (key) => minute.reduce((total, row) => total + row[key], 0);
  const fresh = last && state.camera.state === "online" && Date.parse(state.time) - Date.parse(last.time) < 5000;
  const verdict = fresh ? last.verdict : "none";
  const words = { ok: "✓ OK", ng: "✕ NG", empty: "No part", uninspected: "Not judged", none: "No frames" };
  const moods = { ok: "good", ng: "bad", empty: "calm", uninspected: "warn", none: "warn" };
  $("verdict").className = `verdict ${moods[verdict]}${words[verdict].length > 5 ? " long" : ""}`;
  text("word", words[verdict]);
  fill("frame", last ? [`frame ${count(last.frame)}`, el("br"),
    verdict === "uninspected" ? said(last.reason) : last.labels.join(", ") || "\u00a0"] : []);
  text("minute-text", `Last minute: ${count(sum("ok"))} ok · ${count(sum("ng"))} ng`
    + (sum("empty") ? ` · ${count(sum("empty"))} without a part` : "")
    + (sum("un") + sum("drop") ? ` · ${count(sum("un") + sum("drop"))} not judged` : ""));
  strip($("minute"), minute);
}

function renderModel() {
  const active = state.model.active;
  const [name, version] = split(active ? active.model : "none");
  text("model", name);
  text("version", version);
  show("trial", active && active.trial);
  text("since", active ? `slot ${active.slot} · for ${ago(active.since)} · ${active.sha256.slice(0, 12)}` : "Frames are not judged.");
  show("origin", Boolean(active));
  if (active) $("origin").onclick = () => openModel(active.model);
  const tuned = active && active.tuned;
  show("tuned", Boolean(tuned));
  if (tuned) fill("tuned", [el("b", {}, "Tuned: "), Object.entries(tuned.set).map(([name, value]) => `${name} = ${value}`).join(", "),
    ` · ${tuned.by ? `by ${tuned.by}` : "by nobody named"}, ${ago(tuned.since)} ago${tuned.reason ? `: ${tuned.reason}` : ""}`]);
  const coming = state.coming;
  if (!coming) {
    $("next").className = "next";
    fill("next", [el("h2", {}, "Next"), el("p", { class: "quiet" }, "Nothing is on its way.")]);
    return;
  }
  const at = STAGES.findIndex(([stage]) => stage === coming.stage);
  const moving = at >= 0 || coming.stage === "preparing";
  $("next").className = moving ? "next moving" : "next";
  const notes = [said(coming.why), moving ? null : said(coming.stage), coming.when ? `at ${said(coming.when)}` : null,
    coming.by ? `by ${coming.by}` : null].filter(Boolean);
  fill("next", [el("h2", {}, "Next"), el("p", { class: "name" }, spaced(coming.model)),
    el("p", { class: "quiet" }, notes.join(" · ")),
    moving ? el("ol", { class: "steps" }, STAGES.map(([, label], i) =>
      el("li", { class: i < at ? "done" : i === at ? "at" : "" }, label))) : null]);
}

/** Parts, where they are counted: those of this order and shift, and the newest ones. */
function renderParts() {
  const parts = state.parts;
  show("parts", Boolean(parts));
  if (!parts) return;
  const newest = parts.last.length ? parts.last[0].part : -1, open = parts.opened - 1 - newest;
  text("part-now", open > 0 ? `part ${parts.opened - 1} · ${open === 1 ? "not judged yet" : `${count(open)} not judged yet`}`
    : newest < 0 ? "none yet" : `part ${newest}`);
  const { order, shift } = parts.counts;
  fill("sum-order", tally(order, order.job_order ? `Order ${order.job_order}` : "No order"));
  fill("sum-shift", shift ? tally(shift, "This shift") : []);
  const moods = { ok: "good", ng: "bad", empty: "calm", uninspected: "warn" };
  fill("part-list", parts.last.map((part) => el("li", { class: moods[part.verdict] },
    el("b", {}, part.id || part.serial || `Part ${part.part}`), ` ${part.verdict === "uninspected" ? "not judged" : part.verdict}`,
    el("span", {}, [part.causes.join(", "), part.reason ? said(part.reason) : null, part.late && part.reason !== "late" ? "late" : null,
      time(part.time)].filter(Boolean).join(" · ")))));
}

/** One tally, its causes most frequent first. */
function tally(sum, title) {
  const share = sum.ng ? ` (${(100 * sum.ng / sum.parts).toFixed(1)} %)` : "";
  const words = [`${count(sum.parts)} parts`, `${count(sum.ok)} ok`, `${count(sum.ng)} ng${share}`,
    sum.empty ? `${count(sum.empty)} empty` : null, sum.uninspected ? `${count(sum.uninspected)} not judged` : null,
    sum.late ? `${count(sum.late)} late` : null];
  const bars = [...Object.entries(sum.causes).map(([name, number]) => [name, number, ""]),
    ...Object.entries(sum.reasons).map(([name, number]) => [said(name), number, "un"])].sort((a, b) => b[1] - a[1]).slice(0, 8);
  const most = bars.length ? bars[0][1] : 1;
  return [el("h3", {}, title, el("span", { class: "quiet" }, ` since ${time(sum.since)}`)), el("p", {}, words.filter(Boolean).join(" · ")),
    bars.length ? el("dl", { class: "pareto" }, bars.flatMap(([name, number, kind]) =>
      [el("dt", {}, name), el("dd", {}, el("svg", { class: "bar", role: "presentation", preserveAspectRatio: "none", viewBox: "0 0 100 10" },
        el("rect", { class: kind || "ng", width: Math.max(1, 100 * number / most), height: 10 })), el("span", {}, count(number)))])) : null];
}

function renderSlots() {
  fill("slots", state.slots.map((slot) => {
    const mood = slot.phase === "lost" ? "lost" : ["preparing", "restoring", "draining"].includes(slot.phase) ? "moving"
      : slot.role === "active" ? "active" : "";
    const memory = slot.memory_bytes ? ` · ${Math.round(slot.memory_bytes / 1048576)} MB` : "";
    const phase = slot.phase === "ready" && slot.role ? slot.role : slot.phase;
    return el("div", { class: `slot ${mood}` }, el("span", {}, `Slot ${slot.name}`),
      el("b", {}, slot.model ? spaced(slot.model) : "–"),
      el("span", {}, phase + (slot.stage ? ` · ${slot.stage}` : "") + memory));
  }));
}

function renderTimeline() {
  if (!isNews("timeline", state.swaps)) return;
  if (!state.swaps.length) { fill("timeline", [el("li", { class: "quiet" }, "Nothing has happened yet.")]); return; }
  fill("timeline", state.swaps.map((swap) => {
    const [sign, mood] = WORDS[swap.status] || ["·", ""];
    const what = swap.left && swap.model ? `${spaced(swap.left)} → ${spaced(swap.model)}` : swap.model ? spaced(swap.model)
      : swap.kind === "order" ? `Order ${swap.message || ""}` : said(swap.kind);
    const how = [said(swap.status), swap.kind !== "order" && said(swap.kind) !== said(swap.status) ? said(swap.kind) : null,
      swap.by ? `by ${swap.by}` : null, swap.pause_ms !== null ? `pause ${ms(swap.pause_ms)}` : null,
      swap.checks ? `${swap.checks[0]} of ${swap.checks[1]} checks` : null,
      swap.code ? (!swap.checks && swap.message) || said(swap.code) : null].filter(Boolean).join(" · ");
    return el("li", {}, el("button", { on: () => openSwap(swap) }, el("span", { class: `mark ${mood}` }, sign),
      el("span", { class: "what" }, what), el("span", { class: "when" }, time(swap.time)), el("span", { class: "how" }, how)));
  }));
}

function renderRejected() {
  if (!isNews("rejected", state.rejected)) return;
  if (!state.rejected.length) {
    fill("rejected", [el("p", { class: "quiet" }, state.keeps_rejected ? "None yet." : "Pictures are not kept (results.ng_images).")]);
    return;
  }
  fill("rejected", state.rejected.map((part) => el("button", { on: () => openPart(part) }, picture(part),
    el("small", {}, el("b", {}, [...new Set(part.detections.filter((each) => each.rejects).map((each) => each.class))].join(", ") || "ng"), ` ${time(part.time)}`))));
}

function renderFacts() {
  const frames = state.frames, camera = state.camera, broker = state.broker;
  const size = camera.width ? `${camera.width}×${camera.height}` : "";
  const fact = (label, value, wrong) => el("span", { class: wrong ? "wrong" : "" }, `${label} `, el("b", {}, value));
  fill("facts", [
    fact("Camera", `${camera.state}${camera.fps ? ` · ${camera.fps.toFixed(1)} fps` : ""} ${size}`, camera.state !== "online"),
    fact("Broker", `${broker.online ? "online" : "away"} · ${broker.address}${broker.waiting ? ` · ${broker.waiting} waiting` : ""}`, !broker.online),
    fact("Frames", `${count(frames.captured)} = ${count(frames.inspected)} judged + ${count(frames.dropped)} dropped + ${count(frames.uninspected)} uninspected`, !frames.balanced),
    fact("Up", ago(state.started)), fact("edge-daemon", state.version), fact("Boot", state.boot),
  ]);
}

/** Whether what this place shows is about to change. */
function isNews(id, what) {
  const key = JSON.stringify(what), home = $(id);
  if (home.dataset.key === key) return false;
  home.dataset.key = key;
  return true;
}

/** New children, only where something changed: what is touched or focused stays. */
function fill(id, children) {
  const fresh = el("div", {}, children), home = $(id);
  if (fresh.innerHTML === home.dataset.shown) return;
  home.dataset.shown = fresh.innerHTML;
  home.replaceChildren(...fresh.childNodes);
}

/* ---------------------------------------------------------------- plots */

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function paper(canvas) {
  const scale = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  canvas.width = Math.round(box.width * scale);
  canvas.height = Math.round(box.height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = "13px system-ui, sans-serif";
  return [pen, box.width, box.height];
}

function strip(canvas, minute) {
  const [pen, width, height] = paper(canvas), step = width / 60;
  for (let i = 0; i < 60; i++) {
    const row = minute[minute.length - 60 + i];
    const all = row ? row.ok + row.ng + row.empty + row.un + row.drop : 0, left = i * step;
    pen.fillStyle = ink(all ? "--ok" : "--line");
    pen.fillRect(left, 0, step - 1.5, height);
    if (!all) continue;
    const bad = Math.max(row.ng ? 5 : 0, row.ng / all * height), un = (row.un + row.drop) / all * height;
    const empty = row.empty / all * height;
    pen.fillStyle = ink("--empty");
    pen.fillRect(left, un, step - 1.5, empty);
    pen.fillStyle = ink("--un");
    pen.fillRect(left, 0, step - 1.5, un);
    pen.fillStyle = ink("--ng");
    pen.fillRect(left, height - bad, step - 1.5, bad);
  }
}

function renderPlots() {
  const row = history[history.length - 1];
  const judged = row ? row.ok + row.ng + row.empty : 0;
  text("fps-now", row ? `${judged} judged` : "–");
  text("ms-now", row ? `${ms(state.latency_ms.p50)} · p99 ${ms(state.latency_ms.p99)}` : "–");
  plot($("throughput"), (rows) => rows.map((r) => [["--ok", r.ok], ["--ng", r.ng], ["--empty", r.empty], ["--un", r.un], ["--drop", r.drop]]), bars);
  plot($("latency"), (rows) => rows.map((r) => [["--ok", r.p50], ["--busy", r.p99]]), lines);
}

function plot(canvas, values, draw) {
  const [pen, width, height] = paper(canvas);
  const left = 56, right = 6, top = 16, bottom = 22;
  const end = history.length ? history[history.length - 1].at : Date.parse(state.time) / 1000;
  const known = history.length ? end - history[0].at : 0;
  const span = [60, 120, 300, 600].find((each) => known <= each) || HISTORY_S;
  const rows = history.filter((row) => row.at > end - span), cells = values(rows);
  const total = draw === bars ? (cell) => cell.reduce((sum, [, v]) => sum + v, 0) : (cell) => Math.max(0, ...cell.map(([, v]) => v || 0));
  const most = nice(Math.max(1, ...cells.map(total)) * 1.05);
  const scale = draw === bars ? even(most) : tenfold(cells);
  const x = (at) => left + (at - end + span) / span * (width - left - right);
  const y = (value) => height - bottom - scale.part(value) * (height - top - bottom);
  pen.fillStyle = ink("--quiet");
  pen.strokeStyle = ink("--line");
  pen.lineWidth = 1;
  pen.textAlign = "right";
  for (const tick of scale.ticks) {
    pen.beginPath(); pen.moveTo(left, y(tick)); pen.lineTo(width - right, y(tick)); pen.stroke();
    pen.fillText(scale.label(tick), left - 6, y(tick) + 4);
  }
  pen.textAlign = "left";
  pen.fillText(span < 120 ? `−${span} s` : `−${span / 60} min`, left, height - 5);
  pen.textAlign = "right";
  pen.fillText("now", width - right, height - 5);
  draw(pen, rows, cells, x, y, (width - left - right) / span);
  marks(pen, end - span, end, x, top, height - bottom, width - right);
  const lastCell = cells[cells.length - 1] || [];
  canvas.setAttribute("aria-label", lastCell.map(([, value]) => value).join(", "));
}

const even = (most) => ({ part: (value) => value / most, ticks: [0, most / 2, most], label: String });

/** Milliseconds by powers of ten: a usual frame and one that waited for its model fit together. */
function tenfold(cells) {
  const known = cells.flat().map(([, value]) => value).filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(10, ...known))), high = Math.max(Math.ceil(Math.log10(Math.max(10, ...known) * 1.05)), low + 1);
  const steps = high - low > 2 ? [1] : [1, 2, 5], ticks = [10 ** high];
  for (let power = low; power < high; power++) ticks.push(...steps.map((step) => Number((step * 10 ** power).toPrecision(1))));
  return { part: (value) => Math.min(1, Math.max(0, (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low))), ticks,
    label: (tick) => tick < 1000 ? `${tick} ms` : `${tick / 1000} s` };
}

function bars(pen, rows, cells, x, y, step) {
  rows.forEach((row, i) => {
    let sum = 0;
    for (const [colour, value] of cells[i]) {
      if (value) {
        pen.fillStyle = ink(colour);
        pen.fillRect(x(row.at) - step, y(sum + value), Math.max(step - (step > 4 ? 1 : 0), 1) + (step > 4 ? 0 : 0.4), y(sum) - y(sum + value));
      }
      sum += value;
    }
  });
}

function lines(pen, rows, cells, x, y) {
  for (const series of [1, 0]) {
    pen.beginPath();
    let down = false;
    rows.forEach((row, i) => {
      const [colour, value] = cells[i][series];
      pen.strokeStyle = ink(colour);
      if (value === null || value === undefined) { down = false; return; }
      if (down) pen.lineTo(x(row.at), y(value)); else pen.moveTo(x(row.at), y(value));
      down = true;
    });
    pen.lineWidth = series ? 1.6 : 2.4;
    pen.lineJoin = "round";
    pen.stroke();
  }
}

/** Where the model changed: a dashed line with the version that came. */
function marks(pen, begin, end, x, top, bottom, edge) {
  pen.strokeStyle = pen.fillStyle = ink("--ink");
  pen.lineWidth = 1.5;
  let free = Infinity;
  for (const swap of state.swaps) {
    const at = Date.parse(swap.cutover) / 1000;
    if (!(at > begin && at <= end + 2)) continue;
    const where = Math.min(x(at), edge), label = named(swap), room = pen.measureText(label).width;
    pen.setLineDash([4, 3]);
    pen.beginPath(); pen.moveTo(where, top); pen.lineTo(where, bottom); pen.stroke();
    pen.setLineDash([]);
    pen.textAlign = "right";
    const start = Math.max(where, room + 44);
    if (start + 4 < free) { pen.fillText(label, start, top - 4); free = start - room; }
  }
}

/** The version that came; with its name where another product began. */
function named(swap) {
  const [name, version] = split(swap.model);
  return split(swap.left)[0] === name ? version : spaced(swap.model);
}

function nice(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 6, 8, 10].map((each) => each * unit).find((each) => each >= value) || value;
}

/* ---------------------------------------------------------------- details */

function openDialog(title, ...body) {
  text("details-title", title);
  $("details-body").replaceChildren(...body.flat().filter(Boolean));
  if (!$("details").open) $("details").showModal();
}

async function openSwap(swap) {
  openDialog(swap.model ? spaced(swap.model) : said(swap.kind), el("p", { class: "quiet" }, "…"));
  let body;
  try {
    const reply = await fetch(`api/swaps/${encodeURIComponent(swap.id)}`);
    if (!reply.ok) throw new Error();
    body = details(swap, await reply.json());
  } catch (error) { body = [el("p", {}, "The daemon did not give the details.")]; }
  const title = swap.left && swap.model ? `${spaced(swap.left)} → ${spaced(swap.model)}` : swap.model ? spaced(swap.model) : said(swap.kind);
  openDialog(title, body);
}

/** What a version was trained on, where it came from, and what it judged here. */
async function openModel(model) {
  openDialog(spaced(model), el("p", { class: "quiet" }, "…"));
  let body;
  try {
    const reply = await fetch(`api/models/${encodeURIComponent(model)}`);
    if (!reply.ok) throw new Error();
    body = lineage(await reply.json());
  } catch (error) { body = [el("p", {}, "The daemon did not give the details.")]; }
  openDialog(spaced(model), body);
}

function lineage(found) {
  const unknown = "unknown", source = found.source, judged = found.judged;
  const span = (from, to) => `${time(from)} to ${time(to)}`;
  return [
    el("h3", {}, "Trained on"),
    table([["data set", found.datasets.join(", ") || unknown], ["training run", found.run || unknown],
      ["began with", found.ancestors.map((each) => `${each.model} (${each.was_here ? each.datasets.join(", ") || unknown : "never here"})`).join(", before it ") || unknown]]),
    el("h3", {}, "Came from"),
    table(source ? [["source", `${source.kind} ${source.url}`], ["as", [source.name, source.version, source.alias].filter(Boolean).join(" · ")],
      ["digest", source.digest], ["at", time(source.seen)]] : [["source", unknown]]),
    el("h3", {}, "Judged here"),
    table(!judged.frames && !judged.parts ? [["frames", "none whose verdict counted"], ["counted since", time(found.counted_since)]] : [["frames", count(judged.frames)], ["parts", `${count(judged.parts)}: ${judged.ok} ok, ${judged.ng} ng, ${judged.empty} empty, ${judged.uninspected} uninspected`],
      ["from", judged.from ? span(judged.from, judged.to) : "–"], ["counted since", time(found.counted_since)],
      ...found.active.slice(0, 5).map((each) => ["active", `${span(each.from, each.to)}: ${count(each.frames)} frames`])]),
    found.rollouts.length ? el("h3", {}, "Rollouts") : null,
    found.rollouts.length ? table(found.rollouts.map((each) => [time(each.began), `${each.model} beside ${each.reference}, ${said(each.how)}. ${each.why || ""}`])) : null,
  ].filter(Boolean);
}

function details(swap, entry) {
  const receipt = entry.receipt || (entry.outcome && entry.outcome.receipt), error = entry.outcome && entry.outcome.error;
  const [, mood] = WORDS[swap.status] || ["", ""];
  const parts = [el("p", {}, el("span", { class: `tag ${mood}` }, said(swap.status)), swap.code ? ` ${said(swap.code)}` : "")];
  if (error) parts.push(el("p", {}, el("b", {}, error.message), " ", error.hint || ""));
  else if (swap.message) parts.push(el("p", {}, swap.message));
  if (receipt) parts.push(...receiptParts(receipt));
  const checks = (receipt && receipt.checks) || (error && error.checks) || [];
  if (checks.length) parts.push(el("h3", {}, `Gate: ${checks.filter((c) => c.passed).length} of ${checks.length} checks passed`), checkTable(checks));
  parts.push(el("h3", {}, "What happened"), table((entry.events || []).map((event) =>
    [time(event.time), said(event.event || event.verb || event.status), [event.model, event.code, event.reason || event.by].filter(Boolean).join(" · ")])));
  return parts;
}

function receiptParts(receipt) {
  const figure = (label, value) => el("div", {}, el("small", {}, label), value);
  const latency = receipt.latency_ms || {}, frames = receipt.frames || {};
  const stages = Object.entries(receipt.stages_ms || {}).filter(([, value]) => value !== null);
  const all = stages.reduce((sum, [, value]) => sum + value, 0) || 1;
  const bar = el("div", { class: "stages" }, stages.map(([name, value]) => el("span", { title: `${name} ${value} ms` }, `${name} ${ms(value)}`)));
  [...bar.children].forEach((span, i) => { span.style.flex = `${Math.max(stages[i][1] / all, 0.06)}`; });
  return [
    el("div", { class: "figures" }, figure("pause", ms(receipt.pause_ms)), figure("first frame", receipt.cutover_frame === null ? "–" : count(receipt.cutover_frame)),
      figure("at", time(receipt.cutover_at) || "–"), figure("p99 before", ms(latency.before_p99)), figure("during", ms(latency.during_p99)), figure("after", ms(latency.after_p99))),
    stages.length ? bar : null,
    el("p", {}, `Frames while it went on: ${count(frames.captured || 0)} captured = ${count(frames.inspected || 0)} judged + ${count(frames.dropped || 0)} dropped + ${count(frames.uninspected || 0)} uninspected`),
    el("h3", {}, "Receipt"),
    table([["from", receipt.from || "–"], ["to", receipt.to], ["sha256", receipt.sha256], ["asked by", receipt.by || "–"], ["reason", receipt.reason || "–"],
      ["accepted", (receipt.accepted || []).join(", ") || "–"],
      ["requested", `${time(receipt.requested_at)} (${receipt.requested_at})`], ["trial", receipt.trial ? said(receipt.trial) : receipt.cutover_frame === null ? "–" : "not over"], ["swap", receipt.swap_id]]),
  ].filter(Boolean);
}

const table = (rows) => el("table", {}, rows.map(([head, ...cells]) => el("tr", {}, el("th", { scope: "row" }, head), cells.map((cell) => el("td", {}, cell || "")))));

/** Enough of a digest to tell it from another. */
const brief = (words) => words.replace(/\b[0-9a-f]{64}\b/g, (digest) => `${digest.slice(0, 12)}…`);

function checkTable(checks) {
  const value = (given) => given === undefined || given === null ? "" : typeof given === "number" ? String(Math.round(given * 1000) / 1000) : brief(given);
  const cell = (label, given) => el("td", { "data-label": label, title: typeof given === "string" ? given : null }, value(given));
  const sorted = [...checks].sort((a, b) => a.passed - b.passed);
  return el("table", { class: "checks" }, el("tr", {}, ["", "check", "measured", "limit", ""].map((head) => el("th", {}, head))),
    sorted.map((check) => el("tr", {}, el("td", { class: check.passed ? "yes" : check.accepted ? "warn" : "no" }, check.passed ? "✓" : check.accepted ? "!" : "✕"),
      el("td", {}, said(check.name), check.accepted ? " (accepted)" : ""), cell("measured", check.measured), cell("limit", check.limit), el("td", { class: "quiet" }, check.note || ""))));
}

/** A rejected part with what was found drawn over it. */
function picture(part, folder = "ng") {
  const image = el("img", { src: `${folder}/${part.file}`, alt: "" }), over = el("svg", {});
  const drawBoxes = () => {
    const width = image.naturalWidth, height = image.naturalHeight;
    over.setAttribute("viewBox", `0 0 ${width} ${height}`);
    over.replaceChildren(...part.detections.flatMap(({ box: [x1, y1, x2, y2], polygon, keypoints, rejects }) => {
      const colour = rejects ? "#ff5a46" : "#ffc100", line = width / (rejects ? 90 : 220);
      const corners = polygon.length ? polygon : [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
      return [el("polygon", { points: corners.join(" "), fill: "none", stroke: colour, "stroke-width": line }),
        ...keypoints.filter(([, , sure]) => sure >= 0.5).map(([x, y]) => el("circle", { cx: x, cy: y, r: width / 120, fill: colour }))];
    }));
  };
  if (image.complete && image.naturalWidth) drawBoxes(); else image.addEventListener("load", drawBoxes);
  return el("span", { class: "picture" }, image, over);
}

function openPart(part) {
  openDialog(`Rejected ${time(part.time)}`, picture(part), el("h3", {}, "Seen"),
    table(part.detections.map((each) => [each.class, `${Math.round(each.confidence * 100)} %`, each.rejects ? "rejects" : "", each.box.map(Math.round).join(", ")])),
    el("h3", {}, "Facts"), table([["model", part.model || "–"], ["product", part.product || "–"], ["order", part.job_order || "–"], ["file", part.file]]));
}

/* ---------------------------------------------------------------- asking for something */

function renderCommands() {
  show("commands", state.commands);
  if (!state.commands) return;
  const held = state.order.held, active = state.model.active;
  const others = state.models.filter((each) => !each.quarantined && !(active && each.model === active.model)).map((each) => each.model).reverse();
  const button = (label, go) => el("button", { type: "button", on: go }, label);
  const pick = el("select", { id: "pick", "aria-label": "Model" }, others.map((model) => el("option", { value: model }, spaced(model))));
  const picked = () => ({ model: $("pick").value });
  fill("commands", [
    ...(others.length ? [pick, button("Prepare", () => confirmThen("prepare", picked())), button("Swap", () => confirmThen("swap", picked()))] : []),
    button("Roll back", () => confirmThen("rollback", {})),
    active && active.trial ? button("Confirm", () => confirmThen("confirm", {})) : null,
    active ? button("Tune", () => openTuning()) : null,
    held ? button("Release", () => confirmThen("release", {})) : button("Hold", () => confirmThen("hold", {})),
  ]);
}

async function preview(values) {
  const reply = await fetch("api/preview", { method: "POST", body: JSON.stringify({ set: values }),
    headers: { "content-type": "application/json", "x-edge-daemon": "1" } });
  return reply.json();
}

/** What may be adjusted, what the last frames would be by it, and only then the request. */
async function openTuning() {
  const seen = await preview({}).catch(() => null);
  if (!seen || seen.error) return openDialog("Tune", el("p", {}, seen ? seen.error.message : "The daemon did not answer."));
  if (!seen.adjustable.length) return openDialog("Tune", el("p", {}, `The recipe of ${spaced(seen.model)} lets nothing be adjusted.`));
  const inputs = seen.adjustable.map(({ name, value, low, high }) =>
    el("input", { type: "number", id: `tune-${name}`, min: low, max: high, step: "any", value, "aria-label": name }));
  const reason = el("input", { id: "tune-reason", "aria-label": "Reason", placeholder: "Why" });
  const values = () => Object.fromEntries(inputs.map((input, index) => [seen.adjustable[index].name, input.valueAsNumber])
    .filter(([, value], index) => Number.isFinite(value) && value !== seen.adjustable[index].value));
  const shown = el("div", { id: "tune-preview" });
  const look = async () => {
    const then = await preview(values()).catch(() => null);
    if (!then || then.error) return shown.replaceChildren(el("p", {}, then ? then.error.message : "The daemon did not answer."));
    shown.replaceChildren(el("p", { class: "quiet" }, `The last ${then.frames} frames:`),
      table(["ok", "ng", "empty"].map((word) => [word, `${then.before[word]} → ${then.after[word]}`])),
      ...(then.golden ? [el("p", {}, el("b", {}, "It would be refused: "), then.golden)] : []));
  };
  const model = seen.model.split("@")[0];
  openDialog(`Tune ${spaced(seen.model)}`,
    table(seen.adjustable.map(({ name, low, high }, index) => [name, inputs[index], `${low} to ${high}`])), reason,
    el("p", { class: "commands" }, el("button", { type: "button", on: look }, "Preview"),
      el("button", { class: "go", on: () => send("tune", { model, set: values(), reason: reason.value }) }, "Apply"),
      el("button", { on: () => send("tune", { model, reset: true, reason: reason.value }) }, "Reset")), shown);
}

function confirmThen(verb, body) {
  const what = body.model ? `${said(verb)} ${spaced(body.model)}` : said(verb);
  openDialog(`${what[0].toUpperCase()}${what.slice(1)}?`, el("p", { class: "quiet" }, `On ${state.device}, now.`),
    el("p", { class: "commands" }, el("button", { class: "go", on: () => send(verb, body) }, "Yes")));
}

async function send(verb, body) {
  const say = (...words) => openDialog(said(verb), el("p", {}, ...words));
  say("Asking …");
  try {
    const reply = await fetch(`api/request/${verb}`, { method: "POST", body: JSON.stringify({ by: "status page", ...body }),
      headers: { "content-type": "application/json", "x-edge-daemon": "1" } });
    let answer = await reply.json();
    for (let tries = 0; tries < 240 && ["accepted", "progress"].includes(answer.status) && $("details").open; tries++) {
      say(said(answer.status), answer.stage ? ` · ${answer.stage}` : "");
      await new Promise((resolve) => setTimeout(resolve, 500));
      answer = await (await fetch(`api/answers/${encodeURIComponent(answer.id)}`)).json();
    }
    if (answer.error) openDialog(said(verb), el("p", {}, el("b", {}, answer.error.message), " ", answer.error.hint || ""), answer.error.checks && answer.error.checks.length ? checkTable(answer.error.checks) : null);
    else say(said(answer.status));
  } catch (error) { say("The daemon did not answer."); }
}

/* ---------------------------------------------------------------- beginning */

$("live").addEventListener("error", () => { streaming = false; setTimeout(() => watch(), 2000); });
$("details").addEventListener("click", (event) => { if (event.target === $("details")) $("details").close(); });
document.addEventListener("visibilitychange", () => watch());
window.addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
watch();
ask();
