// The live view: asks for /stats each second while it can be seen, and shows what it says and what changed.
import { request } from "./api.js";
import { makeCharts } from "./charts.js";
import { duration, number, rate, seconds, setText } from "./format.js";
import { makeTiers } from "./tiers.js";

const PERIOD = 1000;

function showFigures(now, change) {
  setText("tokens-rate", number(now.tokens_per_second));
  setText("prompt-rate", change ? number(rate(change, "prompt_tokens")) : "–");
  setText("first-token", seconds(now.time_to_first_token.p50));
  setText("first-token-95", seconds(now.time_to_first_token.p95));
  setText("gap", seconds(now.inter_token_latency.p50));
  setText("gap-95", seconds(now.inter_token_latency.p95));
  setText("running", `${number(now.running)} / ${number(now.max_sequences)}`);
  setText("waiting", number(now.waiting));
  setText("headroom", now.headroom_requests_per_second > 0 ? number(now.headroom_requests_per_second) : "–");
}

function showRanks(element, change) {
  const { now, before } = change;
  while (element.children.length < now.ranks.length) {
    const row = document.createElement("div");
    row.className = "rank";
    row.innerHTML = "<span></span><div class='track' aria-hidden='true'><div></div></div><span></span>";
    row.firstChild.textContent = `Rank ${element.children.length}`;
    element.append(row);
  }
  now.ranks.forEach((rank, i) => {
    const busy = Math.min(1, Math.max(0, (rank.busy_seconds - (before.ranks[i]?.busy_seconds ?? 0)) / change.elapsed));
    const row = element.children[i];
    row.querySelector(".track div").style.transform = `scaleX(${busy})`;
    row.lastChild.textContent = `${Math.round(busy * 100)} %`;
  });
  const steps = now.steps - before.steps;
  setText("skew", steps > 0 ? seconds((now.skew_seconds - before.skew_seconds) / steps) : "–");
}

function showFacts(element, { now, before, elapsed }) {
  const steps = now.steps - before.steps;
  const tokens = now.generated_tokens + now.prompt_tokens - before.generated_tokens - before.prompt_tokens;
  const found = now.tiers.reduce((sum, tier) => sum + tier.hit_tokens, 0);
  const facts = {
    "Steps a second": number(steps / elapsed),
    "Tokens a step": steps > 0 ? number(tokens / steps) : "–",
    "Planning a step": steps > 0 ? seconds((now.planning_seconds - before.planning_seconds) / steps) : "–",
    "Found in the cache": found + now.computed_tokens > 0 ? `${Math.round(100 * found / (found + now.computed_tokens))} % of tokens` : "–",
    "Answers a minute": number(now.requests_per_second * 60),
    "Connections": number(now.connections),
    "Preemptions": number(now.preemptions),
    "Damaged pages": number(now.checksum_failures),
    "Up for": duration(now.uptime_seconds),
    "Version": now.version,
  };
  for (const [name, value] of Object.entries(facts)) {
    let entry = element.querySelector(`[data-name="${name}"]`);
    if (!entry) {
      entry = document.createElement("div");
      entry.dataset.name = name;
      entry.innerHTML = "<dt></dt><dd></dd>";
      entry.firstChild.textContent = name;
      element.append(entry);
    }
    if (entry.lastChild.textContent !== value) entry.lastChild.textContent = value;
  }
}

/** `onStats(stats or null)`: whether the server is there. */
export function startLive(onStats) {
  const charts = makeCharts(), tiers = makeTiers(document.getElementById("tiers"), document.getElementById("legend"));
  let before = null;
  async function look() {
    try {
      if (!document.hidden) {
        const response = await request("stats");
        if (!response.ok) throw new Error(`${response.status}`);
        const now = { at: performance.now() / 1000, ...await response.json() };
        const restarted = before && now.uptime_seconds < before.uptime_seconds;
        const change = before && !restarted ? { now, before, elapsed: Math.max(now.at - before.at, 0.2) } : null;
        onStats(now);
        showFigures(now, change);
        charts.add(now, change);
        tiers.show(now, change);
        if (change) {
          showRanks(document.getElementById("ranks"), change);
          showFacts(document.getElementById("facts"), change);
        }
        before = now;
      }
    } catch {
      onStats(null);
    }
    setTimeout(look, PERIOD);
  }
  look();
}
