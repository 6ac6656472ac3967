// Requests to the server that sent this page. Where it wants a key, the page asks once, and keeps it for this tab.

const KEY = "terrace-api-key";
let asking = null;  // one question at a time, whoever wants to know

function askForKey(note) {
  const dialog = document.getElementById("key-dialog");
  const input = document.getElementById("key");
  document.getElementById("key-note").textContent = note;
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => {
    if (input.value) sessionStorage.setItem(KEY, input.value);
    input.value = "";
    resolve();
  }, { once: true }));
}

/** As fetch(); the answer is never 401: then a key is asked for, and the request made again. */
export async function request(path, options = {}) {
  while (true) {
    const key = sessionStorage.getItem(KEY);
    const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    const response = await fetch(path, { ...options, headers });
    if (response.status !== 401) return response;
    if (key === sessionStorage.getItem(KEY)) {
      sessionStorage.removeItem(KEY);
      asking ??= askForKey(key ? "The server does not know that key." : "It is kept for this tab only, and sent to this server only.").finally(() => { asking = null; });
    }
    await asking;
  }
}

/** The events of a streamed answer as objects, up to [DONE]. Throws an Error with the server's sentence. */
export async function* stream(path, body, signal) {
  const response = await request(path, { method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...body, stream: true }) });
  if (!response.ok) {
    const answer = await response.json().catch(() => null);
    throw new Error(answer?.error?.message ?? `The server answered with ${response.status}.`);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (true) {
    const { value, done } = await reader.read();
    if (done) throw new Error("The connection ended before the answer did.");
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "data: [DONE]") return;
      if (!line.startsWith("data: ")) continue;
      const event = JSON.parse(line.slice(6));
      if (event.error) throw new Error(event.error.message);
      yield event;
    }
  }
}
