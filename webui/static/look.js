// Choices of how pictures look, kept in the addresses of pages.

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
