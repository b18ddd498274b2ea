// Switches pictures between the virtual stain and the gray as taken, and tells when one is missing.

const problem = document.getElementById("stain-problem");

// The server says why: a picture that does not load has no words itself.
async function explain(address) {
  const response = await fetch(address).catch(() => null);
  const answer = await response?.json().catch(() => null);
  if (!answer?.error) return;
  for (const node of problem.querySelectorAll("[data-part]")) {
    node.textContent = answer.error[node.dataset.part];
  }
  problem.hidden = false;
}

// Falls back to the gray picture, which needs no network.
document.addEventListener("error", (event) => {
  const picture = event.target;
  const { gray } = picture.dataset;
  const attribute = picture.tagName === "IMG" ? "src" : "href";
  const address = picture.getAttribute(attribute);
  if (!gray || address === gray) return;
  if (problem.hidden) explain(address);
  picture.setAttribute(attribute, gray);
  say("gray");
}, true);

function say(look) {
  for (const node of document.querySelectorAll("[data-look]")) node.hidden = node.dataset.look !== look;
  document.getElementById("look-toggle")?.setAttribute("aria-pressed", String(look === "stained"));
}

// Keeps a choice in the address of this page and of those that it leads to.
export function keep(name, value) {
  const here = new URL(location.href);
  here.searchParams.set(name, value);
  history.replaceState(null, "", here);
  for (const link of document.querySelectorAll("[data-keep]")) {
    const there = new URL(link.getAttribute("href"), location.href);
    if (!there.searchParams.has(name)) continue;
    there.searchParams.set(name, value);
    link.setAttribute("href", there.pathname + there.search);
  }
}

// Returns whether a toggle is pressed after this tap.
export function press(toggle) {
  const pressed = toggle.getAttribute("aria-pressed") !== "true";
  toggle.setAttribute("aria-pressed", String(pressed));
  return pressed;
}

document.getElementById("look-toggle")?.addEventListener("click", (event) => {
  const look = press(event.currentTarget) ? "stained" : "gray";
  const picture = document.getElementById("picture");
  picture.setAttribute("href", picture.dataset[look]);
  keep("look", look);
  say(look);
});
