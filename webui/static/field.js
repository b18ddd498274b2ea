// Shows and hides the boxes of a field, makes it larger, and moves it under the finger.

import { keep, press } from "./stain.js";

const LARGEST = 8;
const TAP_PX = 8;

const field = document.getElementById("field");
const larger = document.getElementById("larger");
const smaller = document.getElementById("smaller");

if (field) {
  const { width, height } = field.viewBox.baseVal;
  let zoom = 1;
  let middle = centre(field.querySelector(".marked .frame")) ?? { x: width / 2, y: height / 2 };
  let grabbed = null;
  let moved = false;

  function centre(frame) {
    if (!frame) return null;
    const box = frame.getBBox();
    return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  }

  function look() {
    const [wide, high] = [width / zoom, height / zoom];
    middle.x = Math.min(Math.max(middle.x, wide / 2), width - wide / 2);
    middle.y = Math.min(Math.max(middle.y, high / 2), height - high / 2);
    field.setAttribute("viewBox", `${middle.x - wide / 2} ${middle.y - high / 2} ${wide} ${high}`);
    field.style.setProperty("--shrink", String(1 / zoom));
    field.classList.toggle("grab", zoom > 1);
    larger.disabled = zoom >= LARGEST;
    smaller.disabled = zoom <= 1;
  }

  larger.addEventListener("click", () => { zoom *= 2; look(); });
  smaller.addEventListener("click", () => { zoom /= 2; look(); });

  field.addEventListener("pointerdown", (event) => {
    grabbed = { x: event.clientX, y: event.clientY, from: { ...middle } };
    moved = false;
  });
  field.addEventListener("pointermove", (event) => {
    if (!grabbed || zoom === 1) return;
    const [dx, dy] = [event.clientX - grabbed.x, event.clientY - grabbed.y];
    moved ||= Math.hypot(dx, dy) > TAP_PX;
    if (!moved) return;
    const perPixel = width / zoom / field.clientWidth;
    middle = { x: grabbed.from.x - dx * perPixel, y: grabbed.from.y - dy * perPixel };
    look();
  });
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
    field.addEventListener(name, () => { grabbed = null; });
  }
  field.addEventListener("dragstart", (event) => event.preventDefault());
  // A finger that moved the field did not tap a cell.
  field.addEventListener("click", (event) => { if (moved) event.preventDefault(); }, true);

  document.getElementById("boxes-toggle").addEventListener("click", (event) => {
    const shown = press(event.currentTarget);
    document.getElementById("boxes").toggleAttribute("hidden", !shown);
    keep("boxes", shown ? "yes" : "no");
  });
}
