// Enters and closes lots of control slides, and enters comments to their runs.

import "./keypad.js";
import { call } from "./screen.js";

const form = document.getElementById("new-lot");
const dialog = document.getElementById("comment");
let point = null;

async function ask(path, body) {
  if (await call(path, body)) location.reload();
}

// The entries as they were typed: the instrument judges them and says what is wrong.
function targets() {
  const entered = {};
  for (const row of document.querySelectorAll("[data-analyte]")) {
    const [mean, sd] = [...row.querySelectorAll("input")].map((field) => field.value.trim());
    if (mean || sd) entered[row.dataset.analyte] = { mean, sd };
  }
  return entered;
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = document.getElementById("lot-name");
  if (!name.reportValidity()) return;
  const level = document.getElementById("lot-level").value;
  const added = await call("/api/v1/quality/lots", { name: name.value, level, targets: targets() });
  if (added) location.assign(`/controls/${added.lot_id}`);
});

if (dialog) {
  const operator = document.getElementById("operator");
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
