// Switches a picture between the virtual stain and the gray as taken; keeps choices in addresses.

import { keep, press } from "./look.js";

document.getElementById("look-toggle").addEventListener("click", (event) => {
  const look = press(event.currentTarget) ? "stained" : "gray";
  const picture = document.getElementById("picture");
  picture.setAttribute("href", picture.dataset[look]);
  keep("look", look);
  for (const node of document.querySelectorAll("[data-look]")) node.hidden = node.dataset.look !== look;
});
