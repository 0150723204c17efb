"use strict";
/* The card of a rollout: how the candidate stands, and the parts that want a label.
   A picture comes without what the models said of it; that is told with the label. */

const DECISION = { wait: ["Gathering evidence", "busy"], hold: ["Waits for you", "warn"], advance: ["Goes on", "good"], stop: ["Stops", "bad"] };
const ENDED = { rollout_completed: ["Completed", "good"], rollout_stopped: ["Stopped", "bad"] };
const PLACES = 6;
/* Parts as they stand in their places: what a person is about to press never moves. */
let places = [], skipped = new Set(), placesOf = "", labelling = "";

const percent = (share) => `${(100 * share).toFixed(share && share < 0.1 ? 1 : 0)} %`;
const power = (log10) => log10 < 0.05 ? "none" : `10^${log10.toFixed(1)}`;
const points = (share) => `${(100 * share).toFixed(1)}`;

function stageName(stage) {
  if ("full" in stage) return "full";
  if ("shadow" in stage) return "shadow";
  return "share" in stage ? `share ${percent(stage.share)}` : "compare";
}

function renderRollout() {
  const line = state.rollout;
  show("rollout", Boolean(line));
  renderQuality();
  if (!line) return;
  const now = line.state, ended = line.ended;
  const [word, mood] = ended ? ENDED[ended.how] || [said(ended.how), ""] : now.suspended ? ["Suspended", "warn"]
    : now.stage === "prepare" ? ["Preparing", "busy"] : DECISION[now.decision] || ["", ""];
  text("rollout-word", word);
  $("rollout-word").className = `tag ${mood}`;
  fill("rollout-models", [el("p", { class: "name" }, spaced(now.model)), el("p", { class: "quiet" },
    `tried beside ${spaced(now.reference)}`, ended ? ` · ended ${ago(ended.time)} ago` : "")]);
  const stages = now.plan ? now.plan.stages : [];
  fill("rollout-stages", stages.map((stage, i) => el("li", { class: ended || i > now.stage_number - 1 ? (ended && i < now.stage_number ? "done" : "")
    : i === now.stage_number - 1 ? "at" : "done", "aria-current": !ended && i === now.stage_number - 1 ? "step" : null }, stageName(stage))));
  fill("rollout-next", ended ? [el("p", {}, ended.why)] : whatNext(now, stages));
  fill("rollout-facts", facts(now, ended));
  fill("rollout-table", crosstab(now));
  fill("rollout-slices", Object.entries(now.slices).map(([name, slice]) => sliceView(name, slice)));
  renderRolloutCommands(now, ended);
  renderDisputes(line, now);
}

/** What comes after this stage, when at the earliest, and what it still needs. */
function whatNext(now, stages) {
  const next = stages[now.stage_number], stage = stages[now.stage_number - 1];
  if (now.stage === "prepare") return [el("p", {}, "The candidate is loaded and goes through the gate.")];
  if (now.suspended) return [el("p", {}, "Another product runs, or the candidate is not ready: its share is 0, and the evidence is kept.")];
  if (now.stage === "full") return [el("p", {}, "The candidate is becoming the active model; its trial decides.")];
  const to = next ? `Next: ${stageName(next)}` : "Then the rollout is over";
  const why = now.decision === "hold" || now.decision === "stop" || !now.missing.length ? el("p", {}, now.why) : null;
  const when = now.decision === "wait" ? earliest(now, stage) : "";
  return [el("p", {}, el("b", {}, to), when ? `, ${when}.` : "."), why,
    now.missing.length ? el("p", { class: "quiet" }, "Still needed:") : null,
    now.missing.length ? el("ul", { class: "needs" }, now.missing.map((each) => el("li", {}, each))) : null];
}

/** By parts and minutes alone; evidence may need longer. */
function earliest(now, stage) {
  const until = (stage && stage.until) || {}, rate = now.minutes > 0 ? now.stage_parts / now.minutes : 0;
  const parts = Math.max(0, (until.parts || 0) - now.stage_parts), minutes = Math.max(0, (until.minutes || 0) - now.minutes);
  if (!parts && !minutes) return "as soon as the evidence is there";
  if (parts && !rate) return "";
  const left = Math.max(minutes, parts ? parts / rate : 0);
  return `in ${left < 1 ? "less than a minute" : left < 90 ? `${Math.ceil(left)} min` : `${Math.ceil(left / 60)} h`} of a running line at the earliest`;
}

function facts(now, ended) {
  const figure = (label, value) => el("div", {}, el("small", {}, label), value);
  const labels = now.labels;
  return [ended ? null : figure("share of parts it judges", percent(now.share)), figure("parts judged by both", count(now.parts)),
    figure("coverage", now.coverage === null ? "–" : percent(now.coverage)),
    figure("disagreements with a label", `${count(labels.have)} of ${count(labels.have + labels.missing)}`)];
}

function crosstab(now) {
  const cell = (key, mood) => el("td", { class: mood }, count(now.table[key] || 0));
  return [el("table", { class: "crosstab" }, el("caption", {}, "Parts by who rejects them"),
    el("tr", {}, el("td", {}), el("th", { scope: "col" }, "candidate ng"), el("th", { scope: "col" }, "candidate ok")),
    el("tr", {}, el("th", { scope: "row" }, "reference ng"), cell("both"), cell("only_incumbent", "differ")),
    el("tr", {}, el("th", { scope: "row" }, "reference ok"), cell("only_candidate", "differ"), cell("neither")))];
}

/** One slice: what may be lost at most against what is allowed, and the evidence against it. */
function sliceView(name, slice) {
  const rows = [["missed", "recall lost"], ["false_rejects", "good parts rejected more"]].map(([key, label]) => {
    const side = slice[key], well = side.bound < side.margin, stops = side.evidence >= side.limit;
    return [gauge(label, `up to ${points(side.bound)} of ${points(side.margin)} points`, Math.max(0, side.bound), side.margin, well ? "well" : "open",
      `${name === "all" ? "all parts" : name}, ${label}: at most ${points(side.bound)} points, ${points(side.margin)} are allowed`),
    gauge("evidence against it", `${power(side.evidence)} · stops at 10^${side.limit.toFixed(1)}`, Math.max(0, side.evidence), side.limit, stops ? "over" : "below",
      `${name === "all" ? "all parts" : name}, evidence for more ${key === "missed" ? "missed defects" : "false rejects"}: ten to the ${side.evidence.toFixed(1)}, it stops at ${side.limit.toFixed(1)}`)];
  });
  const notes = [`${count(slice.parts)} parts`, slice.coverage === null ? null : `coverage ${percent(slice.coverage)}`, slice.needed ? null : "only watched"];
  return el("section", { class: "slice", "aria-label": name === "all" ? "All parts" : name },
    el("h3", {}, name === "all" ? "All parts" : said(name), el("span", { class: "quiet" }, ` ${notes.filter(Boolean).join(" · ")}`)), rows.flat());
}

/** A bar with a line at its limit, which stands at three quarters of the width. */
function gauge(label, words, value, limit, mood, spoken) {
  const width = limit > 0 ? Math.min(100, 75 * value / limit) : 0;
  return el("div", { class: `gauge ${mood}` }, el("span", {}, label), el("span", { class: "quiet" }, words),
    el("svg", { role: "img", "aria-label": spoken, preserveAspectRatio: "none", viewBox: "0 0 100 10" },
      el("rect", { class: "ground", width: 100, height: 10 }), el("rect", { class: "level", width, height: 10 }),
      el("rect", { class: "limit", x: 74.6, width: 0.8, height: 10 })));
}

function renderRolloutCommands(now, ended) {
  const on = state.commands && !ended;
  show("rollout-commands", on);
  if (!on) return;
  const button = (label, verb) => el("button", { type: "button", on: () => decideRollout(verb, now.rollout, now.model) }, label);
  fill("rollout-commands", [now.stage === "prepare" || now.stage === "full" ? null : button("Advance", "advance"), button("Abort", "abort")]);
}

/** Nobody is asked twice, but everybody is asked why. */
function decideRollout(verb, rollout, model) {
  const reason = el("input", { id: "rollout-reason", "aria-label": "Reason", placeholder: "Why" });
  const what = verb === "advance" ? "The next stage begins now, whatever evidence is missing." : "The candidate judges nothing any more; the reference stays active.";
  openDialog(`${verb === "advance" ? "Advance" : "Abort"} the rollout of ${spaced(model)}?`, el("p", {}, what), reason,
    el("p", { class: "commands" }, el("button", { class: "go", on: () => send(verb, { rollout, reason: reason.value.trim() || "no reason given" }) }, verb === "advance" ? "Advance" : "Abort")));
  reason.focus();
}

/* ---------------------------------------------------------------- labels */

const keyOf = (part) => `${part.boot} ${part.part}`;
const nameOf = (part) => part.id || `Part ${part.part}`;

/** Places keep their part until somebody asks for others, also when newer ones push it off the list; an answered one shows what was said. */
function renderDisputes(line, now) {
  if (placesOf !== now.rollout) { placesOf = now.rollout; places = []; skipped = new Set(); }
  const told = new Map([...line.asked, ...line.answered].map((part) => [keyOf(part), part]));
  places = places.map((part) => told.get(keyOf(part)) || part);
  const isPlaced = (part) => places.some((each) => keyOf(each) === keyOf(part));
  const fresh = [...line.asked].sort((a, b) => skipped.has(keyOf(a)) - skipped.has(keyOf(b)));
  for (const part of fresh) if (places.length < PLACES && !isPlaced(part)) places.push(part);
  const others = line.answered.filter((part) => !isPlaced(part)), missing = now.labels.missing;
  const waiting = line.asked.filter((part) => !isPlaced(part)).length;
  const open = places.filter((part) => !part.truth).length;
  fill("dispute-note", [disputeNote(line, missing, open)]);
  show("disputes", places.length > 0);
  show("label-by-row", (open > 0 || line.wanted.length > 0) && state.commands && line.takes_labels);
  if (isNews("disputes", [places, state.commands && line.takes_labels, labelling])) {
    const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.press : null;
    $("disputes").replaceChildren(...places.map((part) => part.truth ? answeredPart(part) : blindPart(part, state.commands && line.takes_labels)));
    if (focused) { const again = [...$("disputes").querySelectorAll("button")].find((each) => each.dataset.press === focused); if (again) again.focus(); }
  }
  renderWanted(line);
  show("dispute-more", waiting > 0);
  if (waiting) fill("dispute-more", [el("button", { type: "button", on: moreDisputes }, `Show ${Math.min(PLACES, waiting)} more`)]);
  show("dispute-done", others.length > 0);
  fill("dispute-done", others.length ? [el("button", { type: "button", on: () => openDialog("Labelled", el("div", { class: "disputes" }, line.answered.map(answeredPart))) },
    `Labelled before: ${others.length}`)] : []);
}

/** Without a picture, and without a word of what the models said: the part itself is to be looked at. */
function renderWanted(line) {
  if (!isNews("dispute-wanted", [line.wanted, state.commands && line.takes_labels, labelling])) return;
  $("dispute-wanted").replaceChildren(...(line.wanted.length ? [el("p", { class: "quiet" }, "Of these no picture is shown. Take the part itself, and say what it is."),
    el("ul", { class: "audits" }, line.wanted.map((part) => el("li", {}, el("b", {}, nameOf(part)), el("span", { class: "quiet" }, ` ${time(part.time)}`),
      state.commands && line.takes_labels ? el("div", { class: "answers" }, pressFor(part, nameOf(part), "ok"), pressFor(part, nameOf(part), "ng")) : null)))] : []));
}

function disputeNote(line, missing, open) {
  if (!missing && !line.asked.length) return el("p", { class: "quiet" }, line.state.labels.have ? "Every disagreement has a label." : "The models have not disagreed yet.");
  const hidden = Math.max(0, missing - line.asked.length);
  return el("p", {}, `${count(missing)} ${missing === 1 ? "part wants" : "parts want"} a label. `, !line.takes_labels ? "Parts are not counted here: add parts to the settings."
    : !state.commands ? "Labels are given with request/feedback, or by this page with http.commands." : open ? "Look at the picture, and say what the part is. Then you are told what the models said." : "",
    hidden ? el("span", { class: "quiet" }, ` ${count(hidden)} without a picture here: edge-daemon feedback PART ok|ng.`) : null);
}

/** Others instead of these; who cannot tell what a part is passes it over. */
function moreDisputes() {
  for (const part of places) skipped.add(keyOf(part));
  places = [];
  $("disputes").dataset.key = "";
  render();
}

function pressFor(part, name, verdict) {
  return el("button", { type: "button", class: verdict === "ok" ? "good" : "bad", disabled: labelling === keyOf(part),
    "data-press": `${keyOf(part)} ${verdict}`, "aria-label": `${name} is ${verdict}`, on: () => labelPart(part, verdict) }, verdict === "ok" ? "✓ ok" : "✕ ng");
}

function blindPart(part, canLabel) {
  const name = nameOf(part), press = (verdict) => pressFor(part, name, verdict);
  return el("figure", { class: "dispute" }, el("a", { href: `disagreements/${part.file}`, target: "_blank", "aria-label": `${name}: the picture in full` },
    el("img", { src: `disagreements/${part.file}`, alt: `${name} as the camera saw it` })),
  el("figcaption", {}, el("b", {}, name), el("span", { class: "quiet" }, ` ${time(part.time)}`)), canLabel ? el("div", { class: "answers" }, press("ok"), press("ng")) : null);
}

/** Both models' pictures side by side, with what each rejected. */
function answeredPart(part) {
  const one = (who, opinion) => el("div", {}, picture({ file: part.file, detections: opinion.detections }, "disagreements"),
    el("small", {}, `${who}: `, el("b", { class: opinion.verdict === part.truth ? "yes" : "no" }, opinion.verdict), opinion.causes.length ? ` (${opinion.causes.join(", ")})` : ""));
  return el("figure", { class: "dispute", tabindex: "-1" }, el("div", { class: "sides" }, one("Reference", part.incumbent), one("Candidate", part.candidate)),
    el("figcaption", { role: "status" }, el("b", {}, nameOf(part)), ` is ${part.truth}`, el("span", { class: "quiet" }, ` · ${time(part.time)}`)));
}

async function labelPart(part, verdict) {
  labelling = keyOf(part);
  render();
  try {
    const by = $("label-by").value.trim() || "status page";
    const reply = await fetch("api/request/feedback", { method: "POST", headers: { "content-type": "application/json", "x-edge-daemon": "1" },
      body: JSON.stringify({ boot: part.boot, part: part.part, verdict, source: "operator", by }) });
    const answer = await reply.json();
    if (answer.error) openDialog("Not noted", el("p", {}, el("b", {}, answer.error.message), " ", answer.error.hint || ""));
  } catch (error) { openDialog("Not noted", el("p", {}, "The daemon did not answer.")); }
  labelling = "";
  render();
}

/* ---------------------------------------------------------------- quality in production */

function renderQuality() {
  const quality = state.quality;
  show("quality", Boolean(quality));
  if (!quality) return;
  const figure = (label, share) => share ? el("div", {}, el("small", {}, label), percent(share.value),
    el("small", {}, `${percent(share.low)} to ${percent(share.high)} (95 %), n = ${count(share.n)}`), el("small", {}, share.how)) : null;
  fill("quality-figures", [figure("precision: rejected parts that are truly bad", quality.precision), figure("recall: bad parts that are rejected", quality.recall)]);
  fill("quality-missing", quality.missing.map((each) => el("li", {}, each)));
  fill("quality-people", quality.people.length ? [el("h3", {}, "Labels of challenge parts"), peopleTable(quality.people)] : []);
  if (!isNews("quality-audits", [quality.audits, state.commands, labelling])) return;
  $("quality-audits").replaceChildren(...(quality.audits.length ? [el("h3", {}, "Passed parts that were drawn for a look"),
    el("p", { class: "quiet" }, "Take the part itself, and say what it is: only so is it known what the model misses."),
    el("ul", { class: "audits" }, quality.audits.map((part) => el("li", {}, el("b", {}, auditName(part)), el("span", { class: "quiet" }, ` ${time(part.time)}`),
      state.commands ? el("div", { class: "answers" }, pressFor(part, auditName(part), "ok"), pressFor(part, auditName(part), "ng")) : null)))] : []));
}

const auditName = (part) => part.id || part.serial || `Part ${part.part}`;

/** In the terms of an attribute study; what is not acceptable there is marked. */
function peopleTable(people) {
  const cell = (share, well) => el("td", { class: share === null || well ? "" : "no" }, share === null ? "–" : percent(share));
  return el("table", { class: "people" }, el("tr", {}, ["", "right", "bad parts passed", "good parts rejected", "parts"].map((head) => el("th", { scope: "col" }, head))),
    people.map((one) => el("tr", {}, el("th", { scope: "row" }, one.name || "nobody named"), cell(one.effectiveness, one.effectiveness >= 0.9),
      cell(one.miss, one.miss <= 0.02), cell(one.false_alarm, one.false_alarm <= 0.05), el("td", {}, count(one.n)))));
}
