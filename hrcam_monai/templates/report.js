// The table sorts, filters and chooses; the viewer shows what is chosen. Scripts are all that a page from disk may load.
"use strict";
const $ = (id) => document.getElementById(id);
const body = document.querySelector("tbody");
const rows = [...body.rows];
const layers = {}; // what the viewer holds: scan, map, mask
let niivue; // the module, once it is loaded
let viewer;
let subject; // what the chosen subject's script has brought
let chosen; // its row
let moved = false; // the threshold was set by hand

function loadScript(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = () => { script.remove(); resolve(); };
    script.onerror = () => { script.remove(); reject(new Error(`${decodeURI(source)} is not beside this page`)); };
    document.head.append(script);
  });
}

async function openViewer() {
  if (viewer) return;
  if (!niivue) {
    await loadScript("viewer/niivue.js");
    const address = URL.createObjectURL(new Blob([window.NIIVUE], { type: "text/javascript" }));
    delete window.NIIVUE;
    niivue = await import(address);
    URL.revokeObjectURL(address);
  }
  if (!document.createElement("canvas").getContext("webgl2")) throw new Error("this browser has no WebGL 2");
  const opened = new niivue.Niivue({
    dragAndDropEnabled: false, // a page shows its own subjects alone
    isColorbar: true,
    crosshairWidth: 0.5,
    crosshairColor: [0.2, 0.7, 1, 0.7],
    multiplanarShowRender: niivue.SHOW_RENDER.NEVER,
    logLevel: "error",
  });
  await opened.attachToCanvas($("canvas"));
  opened.onLocationChange = (place) => {
    const mm = [...place.mm].slice(0, 3).map((x) => x.toFixed(0)).join(", ");
    const values = place.values.map((v) => `${v.name} ${v.name === "mask" ? (v.value > 0 ? "yes" : "no") : v.value.toPrecision(3)}`);
    $("place").textContent = `${mm} mm: ${values.join(", ")}`;
  };
  viewer = opened;
}

async function addLayer(name, base64, options) {
  const image = await niivue.NVImage.loadFromBase64({ base64, name: `${name}.nii.gz`, ...options });
  image.name = name;
  layers[name] = image;
  viewer.addVolume(image);
}

async function addMap() {
  if (layers.map) viewer.removeVolume(layers.map);
  delete layers.map;
  const map = subject.maps[$("class").value];
  if (map.image) {
    if (!moved) $("threshold").value = map.share;
    await addLayer("map", map.image, { colormap: $("map-colour").value, cal_min: 0, cal_max: map.top });
    layers.map.colormapType = niivue.COLORMAP_TYPE.ZERO_TO_MAX_TRANSPARENT_BELOW_MIN;
  }
  viewer.scene.crosshairPos = viewer.mm2frac(map.peak);
  draw();
}

// what the controls say, on the canvas
function draw() {
  const map = subject.maps[$("class").value];
  const level = Number($("threshold").value) * map.top;
  $("level").textContent = map.image ? `${Math.round($("threshold").value * 100)} %, ${level.toPrecision(3)}` : "this map is flat";
  layers.scan.opacity = Number($("scan-opacity").value);
  if (layers.map) {
    layers.map.opacity = $("map-on").checked ? Number($("map-opacity").value) : 0;
    layers.map.colormap = $("map-colour").value;
    layers.map.cal_min = level;
    layers.map.cal_max = map.top;
    layers.map.colorbarVisible = $("map-on").checked;
  }
  if (layers.mask) {
    layers.mask.opacity = $("mask-on").checked ? Number($("mask-opacity").value) : 0;
    layers.mask.colormap = $("mask-colour").value;
    layers.mask.cal_min = 0.5;
    layers.mask.cal_max = 1;
  }
  viewer.setSliceType(niivue.SLICE_TYPE[$("planes").value]);
  viewer.updateGLVolume();
  $("stage").dataset.drawn = `${chosen.dataset.subject} ${$("class").value}`;
}

async function showVolume(row) {
  await openViewer();
  await loadScript(`viewer/${encodeURIComponent(row.dataset.subject)}.js`);
  const brought = window.SUBJECT;
  delete window.SUBJECT;
  if (row !== chosen) return; // another was chosen meanwhile
  subject = brought;
  for (const name of Object.keys(layers)) { viewer.removeVolume(layers[name]); delete layers[name]; }
  $("class").replaceChildren(...Object.keys(subject.maps).map((name) => new Option(name)));
  $("class").value = subject.shown;
  $("mask").hidden = !subject.mask;
  await addLayer("scan", subject.scan, { colormap: "gray", colorbarVisible: false });
  if (subject.mask) await addLayer("mask", subject.mask, { colormap: $("mask-colour").value, colorbarVisible: false });
  await addMap();
}

async function show(row) {
  chosen = row;
  rows.forEach((other) => other.classList.toggle("on", other === row));
  row.scrollIntoView({ block: "nearest" });
  const picture = `overlays/${encodeURIComponent(row.dataset.subject)}.png`;
  let volume = row.dataset.view === "volume";
  $("view").hidden = false;
  $("title").textContent = row.dataset.title;
  $("note").textContent = row.dataset.view ? "" : "no map";
  $("stage").hidden = $("controls").hidden = $("place").hidden = !volume;
  try {
    if (volume) await showVolume(row);
  } catch (error) {
    if (row !== chosen) return;
    $("note").textContent = `${error.message}: the picture in place of the viewer.`;
    $("stage").hidden = $("controls").hidden = $("place").hidden = true;
    volume = false;
  }
  if (row !== chosen) return;
  $("overlay").hidden = volume || !row.dataset.view;
  if (!$("overlay").hidden) $("overlay").src = picture;
  $("file").hidden = !row.dataset.view;
  $("file").href = picture;
}

function filter() {
  const words = $("filter").value.toLowerCase().split(/\s+/);
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  $("count").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
}

function sort(header) {
  const up = header.getAttribute("aria-sort") !== "ascending";
  for (const other of header.parentNode.cells) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const text = (row) => row.cells[header.cellIndex].textContent;
  rows.sort((a, b) => (up ? 1 : -1) * text(a).localeCompare(text(b), undefined, { numeric: true }));
  body.append(...rows);
}

$("filter").addEventListener("input", filter);
for (const header of document.querySelectorAll("th")) header.addEventListener("click", () => sort(header));
for (const row of rows) row.addEventListener("click", () => show(row));
body.addEventListener("keydown", (event) => {
  const seen = rows.filter((row) => !row.hidden);
  const to = { ArrowDown: 1, ArrowUp: -1, Enter: 0, " ": 0 }[event.key];
  const row = to === undefined ? undefined : seen[seen.indexOf(event.target) + to];
  if (!row) return;
  event.preventDefault();
  row.focus();
  show(row);
});
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("controls").addEventListener("input", (event) => {
  moved ||= event.target.id === "threshold";
  if (event.target.id === "class") addMap();
  else draw();
});
filter();
if (rows.length) show(rows.find((row) => row.dataset.view) ?? rows[0]);
