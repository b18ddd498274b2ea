// The picture of the latest field, the cells counted last, and the question before an abort.

import { onStatus } from "./screen.js";

const SHORTEST_PICTURE_MS = 700;

const tile = document.getElementById("tile");
const confirmAbort = document.getElementById("confirm");
let shown = -1;
let listed = -1;
let loading = false;
let loadedAt = 0;

function refresh(number) {
  if (number === shown || number === 0 || loading || Date.now() - loadedAt < SHORTEST_PICTURE_MS) return;
  loading = true;
  const next = new Image();
  next.onload = () => {
    tile.src = next.src;
    tile.hidden = false;
    document.getElementById("no-tile").hidden = true;
    shown = number;
    done();
  };
  next.onerror = done;
  next.src = `/screen/field.png?n=${number}`;
}

function done() {
  loading = false;
  loadedAt = Date.now();
}

async function showLatest(counted) {
  if (counted === listed) return;
  listed = counted;
  const response = await fetch("/screen/cells").catch(() => null);
  if (!response?.ok) {
    listed = -1;
    return;
  }
  const cells = await response.json();
  document.getElementById("latest").replaceChildren(...cells.map((cell) => {
    const item = document.createElement("li");
    const picture = new Image();
    item.className = cell.group;
    picture.src = cell.picture;
    picture.alt = "";
    item.append(picture, cell.label);
    return item;
  }));
}

onStatus((view) => {
  refresh(view.tiles_analysed);
  showLatest(Object.values(view.counts).reduce((sum, count) => sum + count.n, 0));
  if (!view.can.abort && confirmAbort.open) confirmAbort.close();
});

document.getElementById("abort").addEventListener("click", () => confirmAbort.showModal());
