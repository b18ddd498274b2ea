"""Whether a page can be read and hit with a finger on the screens it is made for."""

from __future__ import annotations

from playwright.sync_api import Page

SMALLEST_MM = 10.0
CONTRAST = 4.5
SCREENS = {"1024x600": (1024, 600, 6.68), "800x480": (800, 480, 5.25)}

# What a finger can hit, as [name, left, top, right, bottom] in px.
TARGETS = """() => [...document.querySelectorAll('a, button, input, select')]
  .filter((node) => node.checkVisibility())
  .map((node) => {
    const box = node.getBoundingClientRect();
    return [node.textContent.trim() || node.id, box.left, box.top, box.right, box.bottom];
  })"""

# Contrast of every visible text with what lies behind it, by WCAG 2.2, as [text, ratio].
CONTRASTS = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || parent.closest('noscript, script') || !parent.checkVisibility()) continue;
    const [one, two] = [light(parse(getComputedStyle(parent).color)), light(behind(parent))];
    found.push([text, (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05)]);
  }
  return found;
}"""


def show_at(page: Page, size: str) -> float:
    """Give the page the size of a screen; return the screen's px per mm."""
    width_px, height_px, px_per_mm = SCREENS[size]
    page.set_viewport_size({"width": width_px, "height": height_px})
    return px_per_mm


def check_fit(page: Page, size: str, *, contrast: float = CONTRAST) -> None:
    """Assert that nothing is too small, too pale or cut off."""
    width_px, _, px_per_mm = SCREENS[size]
    wide_px = page.evaluate("document.documentElement.scrollWidth")
    assert wide_px <= width_px, f"{page.url} is {wide_px} px wide"
    for name, left, top, right, bottom in page.evaluate(TARGETS):
        smallest_mm = min(right - left, bottom - top) / px_per_mm
        assert smallest_mm >= SMALLEST_MM, f"{page.url}: {name} is {smallest_mm:.1f} mm"
        assert 0 <= left < right <= width_px, f"{page.url}: {name} is cut off"
    dialog = page.locator("dialog[open]")
    if dialog.count():
        box = dialog.bounding_box()
        assert box is not None
        assert box["width"] <= width_px
        assert dialog.evaluate("node => node.scrollHeight <= node.clientHeight")
    for text, ratio in page.evaluate(CONTRASTS):
        assert ratio >= contrast, f"{page.url}: {text!r} {ratio:.1f}:1"
