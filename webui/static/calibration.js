// A guided step: starts it, follows it, and loads the page again when something was stored.

import { call, onStatus } from "./screen.js";
import "./keypad.js";

const stored = Number(document.querySelector("[data-version]").dataset.version);
let leaving = false;

function go(path) {
  if (leaving) return;
  leaving = true;
  location.assign(path);
}

onStatus((view) => {
  if (view.page === "/fault" || view.page === "/live") go(view.page);
  else if (view.calibration.version !== stored && !view.calibration.busy) go(location.pathname);
});

function entries() {
  const entered = {};
  for (const field of document.querySelectorAll("[data-entry]")) {
    if (field.value.trim() !== "") entered[field.dataset.entry] = field.value;
  }
  return entered;
}

async function ask(button, path, body) {
  if (button.classList.contains("busy")) return null;
  button.classList.add("busy");
  const answer = await call(path, body);
  button.classList.remove("busy");
  return answer;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.measure) ask(button, button.dataset.measure, entries());
  if (button.dataset.begin) begin(button);
  if (button.dataset.jog) {
    const [dx, dy] = button.dataset.jog.split(",").map(Number);
    ask(button, "/api/v1/calibration/jog", { dx_um: dx, dy_um: dy });
  }
});

async function begin(button) {
  const operator = document.getElementById("operator");
  if (!operator.reportValidity()) return;
  // The status shows the session, too, and must not load this page again meanwhile.
  leaving = true;
  const body = { operator: operator.value, steps: JSON.parse(button.dataset.begin) };
  const answer = await ask(button, "/api/v1/calibration/session", body);
  if (answer) location.assign("/calibration/next");
  else leaving = false;
}
