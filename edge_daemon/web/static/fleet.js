"use strict";

// The page of many stations. Everything a station says is text here, never markup.

const EVERY_MS = 3000;
const COLOURS = 8;
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

function dot(line) {
  const silent = line.presence === "silent" ? "silent" : "";
  const trial = line.phase === "trial" ? "trial" : "";
  const dim = chosen !== null && (line.model ?? "-") !== chosen ? "dim" : "";
  const made = make("i", "", `dot ${colour(line.model)} ${silent} ${trial} ${dim}`);
  made.title = [line.device, line.model ?? "no model", line.phase, line.why].filter(Boolean).join(" · ");
  return made;
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

function showWaves() {
  const inOne = fleet.lines.filter((line) => line.campaign);
  at("waves-card").hidden = inOne.length === 0;
  const rows = new Map();
  for (const line of inOne) {
    const key = JSON.stringify([line.campaign, line.wave]);
    const counts = rows.get(key) ?? {};
    const word = line.presence === "silent" ? "silent" : line.phase;
    counts[word] = (counts[word] ?? 0) + 1;
    rows.set(key, counts);
  }
  const body = [...rows].sort().map(([key, counts]) => {
    const [campaign, wave] = JSON.parse(key);
    const row = make("tr");
    const words = Object.entries(counts).map(([word, count]) => `${count} ${word}`).join(", ");
    row.append(make("td", campaign), make("td", wave === null ? "in no wave" : `wave ${wave}`), make("td", words));
    return row;
  });
  at("waves").replaceChildren(...body);
}

function show() {
  const silent = Object.keys(fleet.silent).length;
  const listed = fleet.inventory === null ? "" : ` Inventory: ${fleet.inventory}, missing: ${Object.keys(fleet.missing).length}.`;
  at("sum").textContent = `${fleet.stations} stations: ${fleet.heard} heard, ${silent} silent.${listed}`;
  showModels();
  showWaves();
  showOthers();
  showSites();
}

async function look() {
  try {
    const answer = await fetch("api/fleet", { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    fleet = await answer.json();
    at("gone").hidden = true;
    at("clock").textContent = new Date().toLocaleTimeString();
    show();
  } catch {
    at("gone").textContent = "The page's program does not answer. What is shown is old.";
    at("gone").hidden = false;
  }
  setTimeout(look, EVERY_MS);
}

look();
