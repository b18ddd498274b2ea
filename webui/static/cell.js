// Shows and hides the outlines.

const toggle = document.getElementById("outline-toggle");

toggle.addEventListener("click", () => {
  const visible = toggle.getAttribute("aria-pressed") !== "true";
  toggle.setAttribute("aria-pressed", String(visible));
  document.getElementById("outlines").style.display = visible ? "" : "none";
});
