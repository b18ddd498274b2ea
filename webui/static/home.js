// The sample id: typed, scanned (a scanner is a keyboard that ends with Enter) or tapped.

import { call, onStatus } from "./screen.js";
import { openKeypad } from "./keypad.js";

const SCAN_PAUSE_MS = 400;

const input = document.getElementById("sample-id");
const start = document.getElementById("start");
const keypad = document.getElementById("keypad");
let possible = !start.disabled;
let lastKeyAt = 0;
let entered = null;

function check() {
  const usable = input.checkValidity();
  document.getElementById("sample-bad").hidden = usable;
  document.getElementById("sample-hint").hidden = !usable;
  start.disabled = !(possible && usable);
  return usable;
}

// Makes what the field holds the sample of the start button on the panel.
function enter() {
  input.value = input.value.trim();
  input.select(); // now, not after the answer: the next scan may have begun by then
  if (!check() || input.value === entered) return;
  entered = input.value;
  call("/api/v1/sample", { sample_id: entered });
}

onStatus((view) => {
  possible = view.can.start;
  check();
});

document.getElementById("sample-form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter();
});
input.addEventListener("input", check);
input.addEventListener("change", enter);
input.addEventListener("focus", () => input.select());

// A scan must land in the field wherever the focus is, and replace what stood there.
document.addEventListener("keydown", (event) => {
  if (event.target === input || keypad.open || document.querySelector("dialog[open]")) return;
  if (event.key.length !== 1 || event.ctrlKey || event.altKey || event.metaKey || event.key === " ") return;
  if (Date.now() - lastKeyAt > SCAN_PAUSE_MS) input.value = "";
  lastKeyAt = Date.now();
  input.value += event.key;
  input.focus();
  input.setSelectionRange(input.value.length, input.value.length);
  event.preventDefault();
  check();
});

start.addEventListener("click", async () => {
  if (!check()) return;
  start.classList.add("busy");
  await call("/api/v1/runs", { sample_id: input.value });
  start.classList.remove("busy");
});

document.getElementById("keypad-open").addEventListener("click", () => openKeypad(input, enter));
// Not at pointerup: the click that follows it would hit a key of the keypad.
input.addEventListener("click", (event) => {
  if (event.pointerType === "touch") openKeypad(input, enter);
});

input.focus();
enter();
