"use strict";

// The page of many stations. Everything a station says is text here, never markup.

const EVERY_MS = 3000;
const COLOURS = 8;
const FOUND = 8;
const at = (id) => document.getElementById(id);
let fleet = null;
let chosen = null;

function make(kind, text = "", names = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  made.className = names;
  return made;
}

const colour = (model) => {
  const place = Object.keys(fleet.models).indexOf(model ?? "-");
  return `m${Math.min(place < 0 ? COLOURS : place, COLOURS - 1)}`;
};

function showModels() {
  at("models").replaceChildren(
    ...Object.entries(fleet.models).map(([model, count]) => {
      const line = make("li");
      const button = make("button");
      button.setAttribute("aria-pressed", String(chosen === model));
      button.append(make("i", "", `dot ${colour(model)}`), make("span", model === "-" ? "no model" : model), make("b", String(count)));
      button.onclick = () => {
        chosen = chosen === model ? null : model;
        show();
      };
      line.append(button);
      return line;
    }),
  );
}

function showOthers() {
  const kinds = [
    ["silent", fleet.silent],
    ["missing", fleet.missing],
    ["in no inventory", Object.fromEntries(fleet.unknown.map((name) => [name, ""]))],
    ["not counted", fleet.not_counted],
  ];
  const lines = kinds.flatMap(([kind, found]) =>
    Object.entries(found).map(([name, why]) => {
      const line = make("li");
      line.append(make("b", name), ` ${kind}${why ? `: ${why}` : ""}`);
      return line;
    }),
  );
  at("others-count").textContent = lines.length ? String(lines.length) : "";
  at("others").replaceChildren(...(lines.length ? lines : [make("li", "Every station that reports is heard.")]));
}

const wordsOf = (line) => [line.device, line.model ?? "no model", line.phase && said(line.phase), line.why].filter(Boolean).join(" · ");

function dot(line) {
  const silent = line.presence === "silent" ? "silent" : "";
  const trial = line.phase === "trial" ? "trial" : "";
  const dim = chosen !== null && (line.model ?? "-") !== chosen ? "dim" : "";
  const made = make("i", "", `dot ${colour(line.model)} ${silent} ${trial} ${dim}`);
  made.title = wordsOf(line);
  made.dataset.device = line.device;
  return made;
}

/** Those whose name has what was typed in it; a square that is pressed types its own. */
function showFound() {
  const wanted = at("find").value.trim().toLowerCase();
  const found = wanted ? fleet.lines.filter((line) => line.device.toLowerCase().includes(wanted)) : [];
  found.sort((one, other) => one.device.length - other.device.length || one.device.localeCompare(other.device));
  const lines = found.slice(0, FOUND).map((line) => {
    const item = make("li");
    const place = [line.site, line.group].filter(Boolean).join(", ");
    item.append(dot(line), wordsOf(line), make("span", place ? ` · ${place}` : "", "quiet"));
    return item;
  });
  if (found.length > FOUND) lines.push(make("li", `and ${found.length - FOUND} more`, "quiet"));
  if (wanted && !found.length) lines.push(make("li", "No station that reports is called so.", "quiet"));
  at("found").replaceChildren(...lines);
}

const by = (lines, key) => Map.groupBy
  ? Map.groupBy(lines, (line) => line[key] ?? "")
  : lines.reduce((found, line) => found.set(line[key] ?? "", [...(found.get(line[key] ?? "") ?? []), line]), new Map());

function showSites() {
  const sites = [...by(fleet.lines, "site")].sort(([one], [other]) => one.localeCompare(other));
  at("sites").replaceChildren(
    ...sites.map(([site, lines]) => {
      const block = make("div", "", "site");
      const groups = make("div", "", "groups");
      for (const [group, members] of by(lines, "group")) {
        const row = make("span", "", "group");
        if (group) row.append(make("small", group));
        row.append(...members.map(dot));
        groups.append(row);
      }
      block.append(make("h3", `${site || "no site"}: ${lines.length}`), groups);
      return block;
    }),
  );
}

const MOODS = { stopped: "bad", stopping: "bad", paused: "warn", waiting: "busy", opening: "busy", done: "good", refused: "bad" };
const SETTLED = ["confirmed", "refused", "rolled_back", "held", "excluded"];
const said = (word) => (word === "have" ? "have it" : word.replaceAll("_", " "));
const stations = (number) => `${number} station${number === 1 ? "" : "s"}`;
const clock = (iso) => (Number.isNaN(Date.parse(iso)) ? "" : new Date(iso).toLocaleString());

/** What was known when somebody opened it, in that evaluator's own numbers. */
function because({ at: when, by: whom, because: known }) {
  const slices = Object.entries(known.slices).map(([name, { n, old, new: now }]) => `; ${name}: of ${n} objects ${old} found before, ${now} now`);
  const before = known.of ? `${known.answered} of ${known.of} before it had answered, ${known.bad} badly` : "nobody is before it";
  return `Opened ${clock(when)} by ${whom || "nobody who says so"}: ${before}${slices.join("")}.`;
}

function bar(wave) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${Math.max(wave.stations, 1)} 1`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  let x = 0;
  for (const [phase, count] of phasesOf(wave)) {
    const part = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    Object.entries({ x, y: 0, width: count, height: 1, class: phase.replace(" ", "-") }).forEach(([key, value]) => part.setAttribute(key, value));
    svg.append(part);
    x += count;
  }
  return svg;
}

const ORDER = ["confirmed", "trial", "refused", "rolled_back", "held", "excluded", "waiting", "have", "fetching", "no answer", "silent"];
const phasesOf = (wave) => Object.entries(wave.phases).sort(([one], [other]) => ORDER.indexOf(one) - ORDER.indexOf(other));

function showWave(wave) {
  const settled = phasesOf(wave).filter(([phase]) => SETTLED.includes(phase)).reduce((sum, [, count]) => sum + count, 0);
  const whole = wave.open && settled === wave.stations;
  const item = make("li", "", `wave ${whole ? "whole" : wave.open ? "open" : ""}`);
  const head = make("h3");
  head.append(make("span", `Wave ${wave.wave}: ${wave.open ? "open" : "closed"}`), make("span", stations(wave.stations)));
  item.append(head, bar(wave), make("span", phasesOf(wave).map(([phase, count]) => `${count} ${said(phase)}`).join(", ") || "no station"));
  if (wave.opened) item.append(make("small", because(wave.opened)));
  else if (!wave.open) item.append(make("small", `To ${+(100 * wave.share).toFixed(3)} % of all stations${Date.parse(wave.earliest) > Date.now() ? `, not before ${clock(wave.earliest)}` : ""}.`));
  if (wave.silent.length) item.append(make("small", `Silent: ${wave.silent.slice(0, 5).join(", ")}${wave.phases.silent > 5 ? ` and ${wave.phases.silent - 5} more` : ""}.`));
  return item;
}

function showCampaign() {
  const [newest, ...others] = fleet.campaigns;
  at("campaign").hidden = !newest;
  if (!newest) return;
  const stopped = Object.entries(newest.stopped ?? {}).map(([who, why]) => `${who}: ${why}`).join("; ");
  at("campaign-state").textContent = said(newest.state);
  at("campaign-state").className = `tag ${MOODS[newest.state] ?? "calm"}`;
  at("campaign-model").textContent = newest.model ?? "";
  at("campaign-id").textContent = newest.serial ? `${newest.id}, serial ${newest.serial}` : newest.id;
  at("campaign-next").textContent = stopped
    ? `Stopped by ${stopped}.${newest.goes_back ? " Stations that have it go back." : ""}`
    : `${newest.next[0].toUpperCase()}${newest.next.slice(1)}.`;
  at("stop").hidden = !fleet.commands || !newest.serial || Boolean(stopped);
  at("waves").replaceChildren(...(newest.waves ?? []).map(showWave));
  at("campaign-others").replaceChildren(...others.map((each) => make("li", `${each.id}: ${each.state}${each.next ? `: ${each.next}` : ""}`)));
}

const size = (bytes) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const place = bytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1);
  return `${(bytes / 1000 ** place).toFixed(place ? 1 : 0)} ${units[place]}`;
};

/** Over all stations that report where their bytes came from. */
function showBytes() {
  const sums = new Map();
  for (const line of fleet.lines) for (const [source, bytes] of Object.entries(line.bytes ?? {})) sums.set(source, (sums.get(source) ?? 0) + bytes);
  at("bytes-card").hidden = sums.size === 0;
  at("bytes").replaceChildren(...[...sums].sort(([, one], [, other]) => other - one).map(([source, bytes]) => {
    const row = make("tr");
    const name = make("th", source);
    name.scope = "row";
    row.append(name, make("td", size(bytes)));
    return row;
  }));
}

/** Nobody is asked twice, but everybody is asked why. */
function askStop() {
  const { id } = fleet.campaigns[0];
  at("ask-title").textContent = `Stop ${id}?`;
  at("ask-told").textContent = "";
  at("ask-stop").onclick = () => stop(id);
  at("ask-stop").disabled = false;
  at("ask").showModal();
  at("ask-reason").focus();
}

async function stop(campaign) {
  const told = at("ask-told");
  at("ask-stop").disabled = true;
  told.textContent = "The broker is told …";
  try {
    const answer = await fetch("api/fleet/stop", {
      method: "POST", headers: { "content-type": "application/json", "x-edge-daemon": "1" },
      body: JSON.stringify({ campaign, reason: at("ask-reason").value, rollback: at("ask-rollback").checked }),
    });
    const body = answer.headers.get("content-type").includes("json") ? await answer.json() : { error: { message: await answer.text() } };
    told.textContent = body.error ? `${body.error.message} ${body.error.hint ?? ""}` : "Stopped: the broker has it.";
    at("ask-stop").disabled = !body.error;
  } catch {
    told.textContent = "The page's program does not answer. Try again, or: edge-daemon fleet stop";
    at("ask-stop").disabled = false;
  }
}

function show() {
  const silent = Object.keys(fleet.silent).length;
  const listed = fleet.inventory === null ? "" : ` Inventory: ${fleet.inventory}, missing: ${Object.keys(fleet.missing).length}.`;
  at("sum").textContent = `${stations(fleet.stations)}: ${fleet.heard} heard, ${silent} silent.${listed}`;
  showModels();
  showCampaign();
  showBytes();
  showOthers();
  showFound();
  showSites();
}

async function look() {
  try {
    const answer = await fetch("api/fleet", { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    fleet = await answer.json();
    at("gone").hidden = true;
    at("clock").textContent = new Date().toLocaleTimeString([], { hour12: false });
    show();
  } catch {
    at("gone").textContent = "The page's program does not answer. What is shown is old.";
    at("gone").hidden = false;
  }
  setTimeout(look, EVERY_MS);
}

at("stop").onclick = askStop;
at("find").oninput = () => fleet && showFound();
at("sites").onclick = ({ target }) => {
  if (!target.dataset.device) return;
  at("find").value = target.dataset.device;
  showFound();
};
look();
