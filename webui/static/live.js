// The picture of the latest field, and the question before an abort.

import { onStatus } from "./screen.js";

const SHORTEST_PICTURE_MS = 700;

const tile = document.getElementById("tile");
const confirmAbort = document.getElementById("confirm");
let shown = -1;
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
  next.src = `/api/v1/tiles/latest.png?n=${number}`;
}

function done() {
  loading = false;
  loadedAt = Date.now();
}

onStatus((view) => {
  refresh(view.tiles_analysed);
  if (!view.can.abort && confirmAbort.open) confirmAbort.close();
});

document.getElementById("abort").addEventListener("click", () => confirmAbort.showModal());
