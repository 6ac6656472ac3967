// The conversation: sends it all with each message, shows the answer as it comes, stops it.
import { stream } from "./api.js";
import { colourCode, showMarkdown } from "./markdown.js";

const byId = (id) => document.getElementById(id);
const log = byId("log"), hello = byId("hello"), prompt = byId("prompt"), send = byId("send");

let messages = [];
let going = null;  // AbortController of the answer that is coming

function addTurn(role, text) {
  hello.hidden = true;
  hello.style.display = "none";
  const turn = document.createElement("article");
  turn.className = `turn ${role}`;
  turn.setAttribute("aria-label", role === "user" ? "You" : "Model");
  const said = document.createElement("div");
  said.className = "said";
  said.textContent = text;
  turn.append(said);
  log.append(turn);
  return turn;
}

const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 60;
const toEnd = () => { log.scrollTop = log.scrollHeight; };

// Shows at most once a frame, and follows the text unless the reader has scrolled up.
function makePainter(said) {
  let text = "", frame = 0;
  const paint = () => {
    frame = 0;
    const follow = atEnd();
    showMarkdown(said, text);
    if (follow) toEnd();
  };
  return {
    add(piece) {
      text += piece;
      frame ||= requestAnimationFrame(paint);
    },
    finish() {
      cancelAnimationFrame(frame);  // it would take the code's colours away
      paint();
      return text;
    },
  };
}

function describe(usage, began, first, ended) {
  const parts = [];
  if (usage) {
    parts.push(`${usage.completion_tokens} tokens`);
    if (usage.completion_tokens > 1) parts.push(`${((usage.completion_tokens - 1) / Math.max(ended - first, 1) * 1000).toFixed(1)} a second`);
  }
  if (first) parts.push(`first after ${((first - began) / 1000).toFixed(2)} s`);
  const cached = usage?.prompt_tokens_details?.cached_tokens;
  if (cached) parts.push(`${cached} of ${usage.prompt_tokens} prompt tokens from the cache`);
  return parts.join(" · ");
}

function addNote(turn, text, wrong, copyText) {
  const note = document.createElement("div");
  note.className = wrong ? "note wrong" : "note";
  note.append(text);
  if (copyText) {
    const copy = document.createElement("button");
    copy.type = "button";
    copy.className = "plain";
    copy.textContent = "Copy";
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(copyText);
      copy.textContent = "Copied";
    });
    note.append(copy);
  }
  const follow = atEnd();
  turn.append(note);
  if (follow) toEnd();
}

function requestBody() {
  const system = byId("system").value.trim();
  const body = { messages: [...(system ? [{ role: "system", content: system }] : []), ...messages], stream_options: { include_usage: true } };
  const temperature = byId("temperature").valueAsNumber, most = byId("max-tokens").valueAsNumber;
  if (!Number.isNaN(temperature)) body.temperature = temperature;
  if (!Number.isNaN(most)) body.max_tokens = most;
  return body;
}

async function answer() {
  const mine = messages;  // a new chat may begin meanwhile
  const turn = addTurn("model", "");
  turn.classList.add("going");
  log.setAttribute("aria-busy", "true");
  toEnd();
  const said = turn.querySelector(".said"), painter = makePainter(said);
  const began = performance.now();
  let first = 0, usage = null, problem = "";
  try {
    for await (const event of stream("v1/chat/completions", requestBody(), going.signal)) {
      const piece = event.choices[0]?.delta?.content;
      if (piece) {
        first ||= performance.now();
        painter.add(piece);
      }
      usage = event.usage ?? usage;
    }
  } catch (error) {
    problem = error.name === "AbortError" ? "stopped" : error.message;
  }
  const text = painter.finish();
  turn.classList.remove("going");
  log.setAttribute("aria-busy", "false");
  if (text) mine.push({ role: "assistant", content: text });
  const note = [describe(usage, began, first, performance.now()), problem].filter(Boolean).join(" · ");
  addNote(turn, note, problem && problem !== "stopped", text);
  colourCode(said);  // not waited for: the next message may be sent
}

function showGoing(is) {
  send.textContent = is ? "Stop" : "Send";
  send.classList.toggle("stop", is);
  send.disabled = !is && prompt.value.trim() === "";
}

function fit() {
  prompt.style.height = "auto";
  prompt.style.height = `${Math.min(prompt.scrollHeight, 220)}px`;
  if (!going) showGoing(false);
}

async function submit(text) {
  if (going || text.trim() === "") return;
  going = new AbortController();
  messages.push({ role: "user", content: text });
  addTurn("user", text);
  prompt.value = "";
  fit();
  showGoing(true);
  try {
    await answer();
  } finally {
    going = null;
    showGoing(false);
  }
}

function clear() {
  going?.abort();
  messages = [];
  for (const turn of log.querySelectorAll(".turn")) turn.remove();
  hello.style.display = "";
  prompt.focus();
}

export function startChat() {
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    if (going) going.abort();
    else submit(prompt.value);
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!going) submit(prompt.value);
  });
  prompt.addEventListener("input", fit);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") going?.abort();
  });
  byId("clear").addEventListener("click", clear);
  for (const starter of byId("starters").children) starter.addEventListener("click", () => submit(starter.textContent));
  fit();
}
