// Starts a check, and follows the instrument: to the checks in progress, then to their report.

import "./keypad.js";
import { call, onStatus } from "./screen.js";

const operator = document.getElementById("operator");
const wasRunning = operator === null;

onStatus((view) => {
  if (view.check.running && !wasRunning) location.reload();
  if (!view.check.running && wasRunning) {
    location.assign(view.page === "/fault" || !view.check.last ? view.page : `/checks/${view.check.last}`);
  }
});

if (operator) {
  for (const button of document.querySelectorAll("[data-check]")) {
    button.addEventListener("click", () => {
      if (operator.reportValidity()) call("/api/v1/checks", { level: button.dataset.check, operator: operator.value });
    });
  }
}
