// Shows the mosaic of a run: deep zoom by OpenSeadragon, boxes of the counted cells and refused
// tiles drawn over it, a scale bar, and the place in the address, so that it can be linked.
/* global OpenSeadragon */

import { keep, press } from "./look.js";

const GROWS_MS = 4000;
const BAR_PX = 160;
const HIT_PX = 24;
const LETTERS_FROM_PX = 22;

const view = document.getElementById("mosaic");
const marks = document.getElementById("marks");
const bar = document.getElementById("scale-bar");
const buttons = [...document.querySelectorAll("[data-group]")];
const refused = document.getElementById("refused-toggle");
const stain = document.getElementById("look-toggle");

let mosaic = null;
let shown = ""; // what decides how the pieces look
let image = null;

// OpenSeadragon adds a style of its own, which the page's policy refuses, unless it finds one.
const style = document.createElementNS("urn:none", "style");
style.setAttribute("data-openseadragon-mobile-css", "");
document.head.append(style);

const viewer = OpenSeadragon({
  element: view,
  drawer: "canvas",
  showNavigationControl: false,
  showNavigator: true,
  navigatorPosition: "BOTTOM_RIGHT",
  navigatorSizeRatio: 0.18,
  // Fewer than a browser opens to one server, so that the status never waits behind pictures.
  imageLoaderLimit: 3,
  tileRetryMax: 5,
  tileRetryDelay: 1500,
  maxZoomPixelRatio: 4,
  visibilityRatio: 0.5,
  animationTime: 0.5,
  gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
  gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true },
});

function source() {
  const { width_px: width, height_px: height, piece_px: tileSize } = mosaic;
  const [look, revision] = [view.dataset.shown, encodeURIComponent(shown)];
  const maxLevel = Math.ceil(Math.log2(Math.max(width, height)));
  return {
    width,
    height,
    tileSize,
    maxLevel,
    minLevel: Math.max(0, maxLevel - Math.ceil(Math.log2(Math.max(width, height) / tileSize))),
    getTileUrl: (level, x, y) =>
      `${view.dataset.address}/${look}/${2 ** (maxLevel - level)}/${x}/${y}.jpg?shown=${revision}`,
  };
}

// A newer mosaic is loaded below the one that is shown, which goes when the newer one is complete.
function put() {
  const former = image;
  viewer.addTiledImage({
    tileSource: source(),
    index: 0,
    success: ({ item }) => {
      image = item;
      if (!former) return home(true);
      const gone = () => viewer.world.removeItem(former);
      if (item.getFullyLoaded()) return gone();
      return item.addOnceHandler("fully-loaded-change", gone);
    },
  });
}

async function load() {
  const response = await fetch(view.dataset.address).catch(() => null);
  if (!response?.ok) return; // a server that is gone is told by every page; the next look may succeed
  mosaic = await response.json();
  const stained = view.dataset.shown === "stained";
  const wanted = mosaic.tiles.filter((tile) => tile.kept).length;
  document.getElementById("staining").hidden = !stained || mosaic.stained_tiles >= wanted;
  const latest = `${view.dataset.shown} ${mosaic.revision} ${stained ? mosaic.stained_tiles : ""}`;
  if (latest === shown) return;
  shown = latest;
  for (const button of buttons) {
    const n = mosaic.cells.filter((cell) => cell.group === button.dataset.group).length;
    button.querySelector("[data-count]").textContent = n;
    button.parentElement.hidden = n === 0;
  }
  refused.hidden = !mosaic.tiles.some((tile) => tile.refused);
  put();
  draw();
}

function rectangle(left, top, right, bottom) {
  return image.imageToViewportRectangle(left, top, right - left, bottom - top);
}

// The place that the address names, or all that was scanned.
function home(immediately) {
  const asked = new URLSearchParams(location.search);
  const [x_um, y_um, width_um] = ["x_um", "y_um", "width_um"].map((name) => Number.parseFloat(asked.get(name)));
  let [left, top, right, bottom] = mosaic.seen_px;
  if (immediately && Number.isFinite(x_um) && Number.isFinite(y_um)) {
    const half = (Number.isFinite(width_um) ? width_um : 100) / mosaic.pixel_um / 2;
    const [x, y] = [(x_um - mosaic.left_um) / mosaic.pixel_um, (y_um - mosaic.top_um) / mosaic.pixel_um];
    [left, top, right, bottom] = [x - half, y - half / 2, x + half, y + half / 2];
  }
  viewer.viewport.fitBounds(rectangle(left, top, right, bottom), immediately);
}

function pixelsPerPixel() {
  return image.viewportToImageZoom(viewer.viewport.getZoom(true)) || 1e-6;
}

function onScreen(x, y) {
  return viewer.viewport.pixelFromPoint(image.imageToViewportCoordinates(x, y, true), true);
}

function colour(button) {
  return getComputedStyle(button.querySelector(".swatch")).backgroundColor;
}

function draw() {
  if (!image || !mosaic) return;
  const scale = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = view;
  if (marks.width !== width * scale || marks.height !== height * scale) {
    [marks.width, marks.height] = [width * scale, height * scale];
  }
  const pen = marks.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  if (pressed(refused)) drawRefused(pen, width, height);
  drawCells(pen, width, height);
  const [map, here] = [viewer.navigator.element, view].map((node) => node.getBoundingClientRect());
  pen.clearRect(map.left - here.left, map.top - here.top, map.width, map.height);
  drawBar();
}

function drawRefused(pen, width, height) {
  const [wide, high] = mosaic.tile_px.map((side) => side * pixelsPerPixel());
  pen.font = "600 14px system-ui, sans-serif";
  for (const tile of mosaic.tiles) {
    if (!tile.refused) continue;
    const { x, y } = onScreen(...tile.corner_px);
    if (x > width || y > height || x + wide < 0 || y + high < 0) continue;
    pen.fillStyle = "rgb(160 30 30 / 0.28)";
    pen.fillRect(x, y, wide, high);
    const words = view.dataset.refused.replace("{reason}", tile.refused);
    if (pen.measureText(words).width + 12 > wide) continue;
    pen.fillStyle = "#fff";
    pen.fillText(words, x + 6, y + 20);
  }
}

function drawCells(pen, width, height) {
  pen.lineWidth = 2.5;
  pen.font = "700 15px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.textAlign = "center";
  for (const button of buttons) {
    if (!pressed(button)) continue;
    const [paint, letter] = [colour(button), button.querySelector(".letter").textContent];
    for (const cell of mosaic.cells) {
      if (cell.group !== button.dataset.group) continue;
      const marked = String(cell.id) === view.dataset.marked;
      const from = onScreen(cell.box_px[0], cell.box_px[1]);
      const to = onScreen(cell.box_px[2], cell.box_px[3]);
      if (from.x > width || from.y > height || to.x < 0 || to.y < 0) continue;
      box(pen, from, to, paint, letter, marked ? 6 : 2.5);
    }
  }
}

function box(pen, from, to, paint, letter, width) {
  const side = Math.max(6, to.x - from.x);
  pen.strokeStyle = "#fff";
  pen.lineWidth = width + 2.5;
  pen.strokeRect(from.x, from.y, side, Math.max(6, to.y - from.y));
  pen.strokeStyle = paint;
  pen.lineWidth = width;
  pen.strokeRect(from.x, from.y, side, Math.max(6, to.y - from.y));
  if (side < LETTERS_FROM_PX) return;
  pen.fillStyle = paint;
  pen.fillRect(from.x - 1, from.y - 23, 22, 22);
  pen.fillStyle = "#fff";
  pen.fillText(letter, from.x + 10, from.y - 12);
}

// The longest of 1, 2, 5, 10, ... um that fits.
function drawBar() {
  const perPixel = mosaic.pixel_um / pixelsPerPixel();
  const most = BAR_PX * perPixel;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = [5, 2, 1].map((n) => n * power).find((um) => um <= most);
  bar.style.width = `${length / perPixel}px`;
  bar.firstElementChild.textContent = length >= 1000 ? `${length / 1000} mm` : `${Number(length.toPrecision(1))} µm`;
}

function pressed(toggle) {
  return toggle.getAttribute("aria-pressed") === "true" && !toggle.hidden;
}

function cellAt(point) {
  const near = HIT_PX / pixelsPerPixel();
  const { x, y } = image.viewerElementToImageCoordinates(point);
  const shown = new Set(buttons.filter(pressed).map((button) => button.dataset.group));
  let best = null;
  for (const cell of mosaic.cells) {
    if (!shown.has(cell.group)) continue;
    const [left, top, right, bottom] = cell.box_px;
    const apart = Math.hypot(x - (left + right) / 2, y - (top + bottom) / 2);
    const reach = Math.max(near, Math.hypot(right - left, bottom - top) / 2);
    if (apart <= reach && (!best || apart < best.apart)) best = { cell, apart };
  }
  return best?.cell;
}

function keepPlace() {
  const bounds = image.viewportToImageRectangle(viewer.viewport.getBounds());
  const here = new URL(location.href);
  const um = (px, from) => (from + px * mosaic.pixel_um).toFixed(1);
  here.searchParams.set("x_um", um(bounds.x + bounds.width / 2, mosaic.left_um));
  here.searchParams.set("y_um", um(bounds.y + bounds.height / 2, mosaic.top_um));
  here.searchParams.set("width_um", um(bounds.width, 0));
  history.replaceState(null, "", here);
}

view.append(marks, bar);
for (const name of ["update-viewport", "resize", "animation"]) viewer.addHandler(name, draw);
viewer.addHandler("animation-finish", () => { if (image) keepPlace(); });
viewer.addHandler("canvas-click", (event) => {
  if (!event.quick || !image) return;
  const cell = cellAt(event.position);
  if (cell) location.assign(`${view.dataset.cell.replace(/0$/, cell.id)}?look=${view.dataset.shown}`);
});

document.getElementById("larger").addEventListener("click", () => viewer.viewport.zoomBy(2).applyConstraints());
document.getElementById("smaller").addEventListener("click", () => viewer.viewport.zoomBy(0.5).applyConstraints());
document.getElementById("whole").addEventListener("click", () => home(false));
for (const toggle of [...buttons, refused]) {
  toggle.addEventListener("click", () => {
    toggle.setAttribute("aria-pressed", String(toggle.getAttribute("aria-pressed") !== "true"));
    draw();
  });
}

// A piece that cannot be stained gives no reason; a second request to the same address does.
viewer.addHandler("tile-load-failed", async ({ tile }) => {
  if (view.dataset.shown !== "stained") return;
  const response = await fetch(tile.getUrl()).catch(() => null);
  const answer = await response?.json().catch(() => null);
  if (!answer?.error || answer.error.code.endsWith("-BUSY")) return;
  const problem = document.getElementById("stain-problem");
  for (const node of problem.querySelectorAll("[data-part]")) {
    node.textContent = answer.error[node.dataset.part];
  }
  problem.hidden = false;
  if (stain.getAttribute("aria-pressed") === "true") stain.click();
});

stain.addEventListener("click", () => {
  const look = press(stain) ? "stained" : "gray";
  view.dataset.shown = look;
  keep("look", look);
  for (const node of document.querySelectorAll("[data-look]")) node.hidden = node.dataset.look !== look;
  load();
});

load();
document.getElementById("growing").hidden = view.dataset.growing !== "yes";
// Tiles come while a scan runs, and colours while tiles are being stained.
setInterval(() => {
  if (view.dataset.growing === "yes" || !document.getElementById("staining").hidden) load();
}, GROWS_MS);
