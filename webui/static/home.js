// Shows the waiting sample of the instrument and enters it: typed, scanned (a scanner is a keyboard
// that ends with Enter) or tapped.  The instrument judges it; this page holds only the text that is
// being typed, and sends it to the instrument with every key.  Enter, Done on the keypad and Start
// enter the text; leaving the field does not.

import { call, onStatus, refresh } from "./screen.js";
import { beingTyped, openKeypad, overrideKeypad } from "./keypad.js";

const SCAN_PAUSE_MS = 400;
const STALE_MS = 2000;

const input = document.getElementById("sample-id");
const operator = document.getElementById("operator");
const lot = document.getElementById("control-lot");
const start = document.getElementById("start");
const keypad = document.getElementById("keypad");
const DRAFT = new Map([[input, "draft_sample_id"], [operator, "draft_operator"]]);
const ENTERED = new Map([[input, "sample_id"], [operator, "operator"]]);

let view = null;
let typedHere = false; // the draft of the instrument is what was typed on this page
let unsent = {};
let sending = false;
let sentAt = 0;
let lastKeyAt = 0;

// Changes the waiting sample: one request after the other, so that no older text comes last.
async function report(changes) {
  Object.assign(unsent, changes);
  if (sending) return;
  sending = true;
  while (Object.keys(unsent).length) {
    const body = unsent;
    unsent = {};
    // The status brings back what is wrong with the sample; it is shown at the field.
    await call("/api/v1/sample", body, () => {});
    await refresh();
  }
  sending = false;
  sentAt = Date.now();
  if (view) show(view);
}

function show(latest) {
  const older = view && latest.sample.revision < view.sample.revision;
  // An event that was under way before the answer; later, a restarted instrument counts from 0.
  if (older && (sending || Date.now() - sentAt < STALE_MS)) return;
  view = latest;
  start.disabled = sending || !(view.can.start || (typedHere && view.can.start_draft));
  if (sending) return;
  fill(input, view.sample.sample_id);
  fill(operator, view.sample.operator);
  typedHere = typedHere && view.sample.half_entered;
  const chosen = String(view.sample.control_lot ?? "");
  if ((lot?.value ?? "") === chosen) return;
  if (lot && [...lot.options].some((option) => option.value === chosen)) lot.value = chosen;
  else location.reload(); // a lot that was entered since this page was made
}

// What another screen entered, or is typing, replaces what is shown here.
function fill(field, text) {
  const typing = beingTyped(field);
  if (typing === text) return;
  if (typing !== null) overrideKeypad();
  if (field.value === text) return;
  field.value = text;
  typedHere = false;
  if (document.activeElement === field) field.select();
}

function typed(field, text) {
  typedHere = true;
  start.disabled = true; // until the instrument has judged it
  report({ [DRAFT.get(field)]: text });
}

function enter(field) {
  field.select(); // now, not after the answer: the next scan may have begun by then
  const text = field.value.trim();
  report({ [ENTERED.get(field)]: text, [DRAFT.get(field)]: null });
}

function drop(field) {
  typedHere = false;
  report({ [DRAFT.get(field)]: null });
}

function askKeypad(field) {
  openKeypad(field, {
    typed: (text) => typed(field, text),
    filled: () => enter(field),
    dropped: () => drop(field),
  });
}

onStatus(show);

for (const field of [input, operator]) {
  field.addEventListener("input", () => typed(field, field.value));
  field.addEventListener("focus", () => field.select());
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") enter(field);
    else if (event.key === "Escape") drop(field);
    else return;
    event.preventDefault();
  });
  // Not at pointerup: the click that follows it would hit a key of the keypad.
  field.addEventListener("click", (event) => {
    if (event.pointerType === "touch") askKeypad(field);
  });
}
lot?.addEventListener("change", () => report({ control_lot: lot.value ? Number(lot.value) : null }));
document.getElementById("keypad-open").addEventListener("click", () => askKeypad(input));

// A scan must land in the field wherever the focus is, and replace its text.
document.addEventListener("keydown", (event) => {
  if (DRAFT.has(event.target) || keypad.open || document.querySelector("dialog[open]")) return;
  if (event.key.length !== 1 || event.ctrlKey || event.altKey || event.metaKey || event.key === " ") return;
  if (Date.now() - lastKeyAt > SCAN_PAUSE_MS) input.value = "";
  lastKeyAt = Date.now();
  input.value += event.key;
  input.focus();
  input.setSelectionRange(input.value.length, input.value.length);
  event.preventDefault();
  typed(input, input.value);
});

// The request holds exactly what this screen shows.
start.addEventListener("click", async () => {
  start.classList.add("busy");
  const control = lot?.value ? Number(lot.value) : null;
  await call("/api/v1/runs", { sample_id: input.value, control_lot: control, operator: operator.value });
  start.classList.remove("busy");
});

input.focus();
