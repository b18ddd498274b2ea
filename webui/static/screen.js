// Shows the instrument's status on the page and follows it from page to page.
// The server sends every text; this script only puts it in place.

const RECONNECT_MS = 1000;
const POLL_MS = 1000;
const SILENT_MS = 8000;

const listeners = [];
let lastHeard = Date.now();
let latest = null;
let acknowledged = false;
let leaving = false;

export function onStatus(listener) {
  listeners.push(listener);
}

function look(view, path) {
  return path.split(".").reduce((node, name) => (node == null ? node : node[name]), view);
}

function each(attribute, action) {
  for (const node of document.querySelectorAll(`[${attribute}]`)) {
    action(node, node.getAttribute(attribute));
  }
}

function apply(view) {
  document.body.dataset.tone = view.tone;
  each("data-text", (node, path) => {
    const text = String(look(view, path) ?? "");
    if (node.textContent !== text) node.textContent = text;
  });
  each("data-show", (node, path) => { node.hidden = !look(view, path); });
  each("data-enable", (node, path) => { node.disabled = !look(view, path); });
  each("data-value", (node, path) => { node.value = look(view, path); });
  each("data-max", (node, path) => { node.max = look(view, path); });
  each("data-length", (node, path) => { node.setAttribute("width", look(view, path)); });
  each("data-list", (node, path) => {
    const texts = look(view, path) ?? [];
    const shown = [...node.children].map((item) => item.textContent);
    if (texts.length === shown.length && texts.every((text, i) => text === shown[i])) return;
    node.replaceChildren(...texts.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }));
  });
  for (const listener of listeners) listener(view);
  latest = view;
  follow(view);
}

// Goes to the page of the state: always on pages that follow it, and once a result is acknowledged.
function follow(view) {
  const wanted = document.body.dataset.follow === "yes" || (acknowledged && !view.can.acknowledge);
  // Asking again while the next page is on its way would load it again from the start.
  if (leaving || !wanted || view.page === location.pathname) return;
  leaving = true;
  location.assign(view.page);
}

function heard(text) {
  lastHeard = Date.now();
  document.getElementById("lost").hidden = true;
  apply(JSON.parse(text));
}

function connect() {
  const source = new EventSource("/stream");
  source.addEventListener("status", (event) => heard(event.data));
  source.addEventListener("error", () => {
    // The browser reconnects by itself unless the server refused the stream (too many, restarting).
    if (source.readyState !== EventSource.CLOSED) return;
    refresh();
    setTimeout(connect, RECONNECT_MS);
  });
}

// Asks for the present status and shows it.
export async function refresh() {
  try {
    const response = await fetch("/screen/status", { signal: AbortSignal.timeout(POLL_MS * 3) });
    if (response.ok) heard(await response.text());
  } catch {
    // No answer: the watch below shows it to the person if it lasts.
  }
}

function watch() {
  const silent = Date.now() - lastHeard;
  document.getElementById("lost").hidden = silent < SILENT_MS;
  if (silent > POLL_MS * 4) refresh();
}

// Posts `body`; a refusal is explained in a dialog unless the page shows it in its own way.
export async function call(path, body, refused = explain) {
  let problem = null;
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(10000),
    });
    const answer = await response.json();
    if (response.ok) return answer;
    problem = answer.error;
  } catch {
    const words = document.getElementById("problem").dataset;
    problem = { cause: words.cause, remedy: words.remedy, code: words.code };
  }
  refused(problem);
  return null;
}

function explain(problem) {
  const dialog = document.getElementById("problem");
  for (const part of ["cause", "remedy", "code"]) {
    document.getElementById(`problem-${part}`).textContent = problem[part];
  }
  if (!dialog.open) dialog.showModal();
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("close" in button.dataset) button.closest("dialog").close();
  if (!button.dataset.call || button.classList.contains("busy")) return;
  button.classList.add("busy");
  const before = latest;
  const answer = await call(button.dataset.call);
  button.classList.remove("busy");
  // A second tap must not ask again before the status says whether that is possible.
  if (answer && button.dataset.enable && latest === before) button.disabled = true;
  if (answer && button.dataset.call.endsWith("/acknowledge")) {
    acknowledged = true;
    // The status may have shown it before the answer came.
    if (latest) follow(latest);
  }
});

connect();
setInterval(watch, POLL_MS);
