// Enters and closes lots of control slides, and what a person says about a run.

import { openKeypad } from "./keypad.js";
import { call } from "./screen.js";

const name = document.getElementById("lot-name");
const dialog = document.getElementById("comment");
let point = null;

async function ask(path, body) {
  if (await call(path, body)) location.reload();
}

if (name) {
  document.getElementById("keypad-open").addEventListener("click", () => openKeypad(name));
  name.addEventListener("click", (event) => {
    if (event.pointerType === "touch") openKeypad(name);
  });
  document.getElementById("add-lot").addEventListener("click", () => {
    if (name.reportValidity()) ask("/api/v1/quality/lots", { name: name.value });
  });
}

if (dialog) {
  const operator = document.getElementById("operator");
  document.getElementById("keypad-open").addEventListener("click", () => openKeypad(operator));
  operator.addEventListener("click", (event) => {
    if (event.pointerType === "touch") openKeypad(operator);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.comment) {
      point = button.dataset.comment;
      dialog.showModal();
    }
    if (button.dataset.remark && operator.reportValidity()) {
      ask(`/api/v1/quality/points/${point}/comments`, { operator: operator.value, text: button.dataset.remark });
    }
    if (button.dataset.closeLot) ask(`/api/v1/quality/lots/${button.dataset.closeLot}/close`);
  });
}
