// The tiers as a picture: each a field of cells, the pages in use first and then the others from young to old; between two tiers, what moves.
import { number } from "./format.js";

const CELLS = 120;
const NAMES = { device: "Device", host: "Host", disk: "Disk" };

function ageNames(bounds) {
  const short = (s) => (s < 60 ? `${s} s` : s < 3600 ? `${s / 60} min` : `${s / 3600} h`);
  return [...bounds.map((bound) => `under ${short(bound)}`), `older`];
}

// Frames of each kind, hottest first; what a sequence alone has (its unfinished pages, frames that pages are on their way to) is in use as well.
function parts(tier) {
  const idle = tier.idle_by_age.reduce((sum, count) => sum + count, 0);
  return [["held", tier.used - idle], ...tier.idle_by_age.map((count, age) => [String(age), count])];
}

// Which kind each cell shows. A kind that has any frames has a cell, however large the tier.
function paint(tier) {
  const cells = [];
  for (const [age, count] of parts(tier)) {
    const share = count > 0 ? Math.max(1, Math.round(count / tier.frames * CELLS)) : 0;
    for (let i = 0; i < share && cells.length < CELLS; ++i) cells.push(age);
  }
  return cells;
}

function makeTier(name) {
  const element = document.createElement("div");
  element.className = "tier";
  element.innerHTML = "<div class='head'><b></b><span></span></div><div class='cells' role='img'></div>";
  element.querySelector("b").textContent = NAMES[name] ?? name;
  for (let i = 0; i < CELLS; ++i) element.querySelector(".cells").append(document.createElement("i"));
  return element;
}

function makeFlow() {
  const flow = document.createElement("div");
  flow.className = "flow";
  flow.innerHTML = "<span><b>↓</b> <span></span></span><span><b>↑</b> <span></span></span>";
  return flow;
}

function showTier(element, tier, ages) {
  const cells = element.querySelector(".cells");
  paint(tier).concat(Array(CELLS)).slice(0, CELLS).forEach((age, i) => {
    const cell = cells.children[i];
    if (cell.dataset.age !== age) age === undefined ? delete cell.dataset.age : cell.dataset.age = age;
  });
  element.querySelector(".head span").textContent = `${number(tier.used)} of ${number(tier.frames)} pages · ${number(tier.hit_tokens)} tokens found`;
  const words = parts(tier).filter(([, count]) => count > 0).map(([age, count]) => `${count} ${age === "held" ? "in use" : `used ${ages[age]} ago`}`);
  cells.setAttribute("aria-label", `${NAMES[tier.name]}: ${words.join(", ") || "empty"}`);
}

function showFlow(element, tiers, before, elapsed, lower) {
  const moved = (i) => (before ? Math.max(0, tiers[i].moved_in - before[i].moved_in) / elapsed : 0);
  const [down, up] = element.children;
  const say = (place, count, what) => {
    place.classList.toggle("moving", count > 0);
    place.lastChild.textContent = `${number(count)} pages/s ${what}`;
  };
  say(down, moved(lower), lower === 1 && tiers[2].frames > 0 ? "in, also from the disk" : "written");
  if (lower === 1) say(up, moved(0), "fetched");
  else up.style.display = "none";
}

export function makeTiers(element, legend) {
  const built = [];
  let ages = [];
  function build(stats) {
    ages = ageNames(stats.page_age_bounds_seconds);
    for (const [age, text] of [["held", "in use"], ...ages.map((name, i) => [String(i), name]), ["", "free"]]) {
      const item = document.createElement("li");
      item.innerHTML = "<i></i>";
      item.firstChild.dataset.age = age;
      item.append(text);
      legend.append(item);
    }
    const there = stats.tiers.map((tier, i) => ({ tier, i })).filter(({ tier }) => tier.frames > 0);
    for (const { tier, i } of there) {
      const flow = i > 0 ? makeFlow() : null;
      const picture = makeTier(tier.name);
      if (flow) element.append(flow);
      element.append(picture);
      built.push({ i, flow, picture });
    }
    const absent = stats.tiers.filter((tier) => tier.frames === 0).map((tier) => `cache.${tier.name}`);
    if (absent.length > 0) {
      const note = document.createElement("p");
      note.className = "tier absent";
      note.textContent = `Not set up: ${absent.join(", ")}`;
      element.append(note);
    }
  }
  return {
    show(stats, change) {
      if (stats.tiers.every((tier) => tier.frames === 0)) return;  // the model is being loaded
      if (built.length === 0) build(stats);
      for (const { i, flow, picture } of built) {
        showTier(picture, stats.tiers[i], ages);
        if (flow) showFlow(flow, stats.tiers, change?.before.tiers, change?.elapsed, i);
      }
    },
  };
}
