// Shows the gray picture if a stained one does not load, and says why.
// A classic script in the head, so that it listens before the first picture can fail.

{
  let explained = false;

  function say() {
    for (const node of document.querySelectorAll("[data-look]")) node.hidden = node.dataset.look !== "gray";
    document.getElementById("look-toggle")?.setAttribute("aria-pressed", "false");
  }

  // A picture that fails gives no reason; a second request to the same address does.
  async function explain(address) {
    explained = true;
    const response = await fetch(address).catch(() => null);
    const answer = await response?.json().catch(() => null);
    if (!answer?.error) return;
    const problem = document.getElementById("stain-problem");
    for (const node of problem.querySelectorAll("[data-part]")) {
      node.textContent = answer.error[node.dataset.part];
    }
    problem.hidden = false;
  }

  document.addEventListener("error", (event) => {
    const picture = event.target;
    const gray = picture.dataset?.gray;
    const attribute = picture.tagName === "IMG" ? "src" : "href";
    const address = picture.getAttribute?.(attribute);
    if (!gray || address === gray) return;
    picture.setAttribute(attribute, gray);
    if (!explained) explain(address);
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", say);
    else say();
  }, true);
}
