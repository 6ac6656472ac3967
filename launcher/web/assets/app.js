// Starts the page: the two views, and the line that says what is served.
import { request } from "./api.js";
import { startChat } from "./chat.js";
import { startLive } from "./live.js";

const body = document.body;
const views = { chat: document.getElementById("show-chat"), live: document.getElementById("show-live") };
const dot = document.querySelector(".dot"), servedText = document.getElementById("served-text");
let model = null;

function show(view) {
  body.dataset.view = view;
  for (const [name, button] of Object.entries(views)) button.setAttribute("aria-pressed", String(name === view));
}

function say(state, text) {
  if (dot.dataset.state !== state) dot.dataset.state = state;
  if (servedText.textContent !== text) servedText.textContent = text;
}

async function tellServer(stats) {
  if (!stats) {
    model = null;
    return say("gone", "the server does not answer");
  }
  if (!model) {
    const response = await request("v1/models");
    if (!response.ok) return say("waiting", "the model is being loaded");
    const { data } = await response.json();
    model = `${data[0].id}, context of ${data[0].max_model_len.toLocaleString("en")} tokens`;
  }
  say("ok", model);
}

for (const [name, button] of Object.entries(views)) button.addEventListener("click", () => show(name));
startChat();
startLive((stats) => tellServer(stats).catch(() => {}));  // the next second tells
