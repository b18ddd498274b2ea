// Shows and hides the outlines.

import { press } from "./look.js";
import "./stain.js";

document.getElementById("outline-toggle").addEventListener("click", (event) => {
  document.getElementById("outlines").style.display = press(event.currentTarget) ? "" : "none";
});
