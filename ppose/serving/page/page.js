// Photos from a file, the clipboard, a drop or the camera go to the server; its poses to the picture.

import { PoseView } from "./view.js";

const element = (id) => document.getElementById(id);
const canvas = element("canvas"), tip = element("tip"), video = element("video");
const view = new PoseView(canvas, showChosen);
let answer = null, turn = 0;

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", isError);
}

const plural = (count) => `${count} ${count === 1 ? "person" : "people"}`;

async function ask(path, options) {
  const response = await fetch(path, options).catch(() => {
    throw new Error("the server does not answer; is it running? Then choose the photo again");
  });
  const content = await response.json().catch(() => ({})); // a proxy's page is no JSON
  if (response.ok) return content;
  throw new Error(typeof content.detail === "string" ? content.detail : `the server answered ${response.status}`);
}

// Find the people of an image file; false where it could not be done. A later photo's result replaces it.
async function find(blob, isLive = false) {
  const mine = ++turn;
  if (!isLive) say("Looking for poses…");
  try {
    if (!view.model) await loadModel();
    const headers = { "Content-Type": blob.type || "application/octet-stream" };
    const [found, picture] = await Promise.all([
      ask("v1/poses", { method: "POST", body: blob, headers }), createImageBitmap(blob),
    ]);
    if (mine === turn) show(found, picture, isLive);
    return true;
  } catch (error) {
    if (mine === turn) say(`No poses: ${error.message}`, true);
    return false;
  }
}

function show(found, picture, isLive) {
  answer = found;
  const people = found.poses.map(({ keypoints }) =>
    view.model.keypoints.map((_, i) => ({ x: keypoints[3 * i], y: keypoints[3 * i + 1], score: keypoints[3 * i + 2] })));
  view.show(picture, people);
  canvas.classList.add("filled");
  canvas.setAttribute("aria-label", `Photo with the poses of ${plural(people.length)}`);
  for (const id of ["save-json", "save-png"]) element(id).disabled = false;
  showChosen(null);
  element("people").replaceChildren(...(isLive ? [] : people.map(makeTable)));
  markLow();
  const who = people.length ? plural(people.length) : "Nobody was found";
  if (!isLive) say(`${who}, ${found.width} × ${found.height} pixels`);
}

function makeTable(points, person) {
  const table = document.createElement("table");
  table.createCaption().textContent = `Person ${person + 1}`;
  const head = table.createTHead().insertRow();
  for (const title of ["keypoint", "x", "y", "score"]) {
    head.append(Object.assign(document.createElement("th"), { scope: "col", textContent: title }));
  }
  const body = table.createTBody();
  points.forEach(({ x, y, score }, index) => {
    const row = body.insertRow();
    row.dataset.score = score;
    row.dataset.place = `${person},${index}`;
    const name = view.model.keypoints[index];
    row.append(Object.assign(document.createElement("th"), { scope: "row", textContent: name }));
    for (const text of [x.toFixed(1), y.toFixed(1), score.toFixed(2)]) row.insertCell().textContent = text;
    row.addEventListener("pointerenter", () => view.choose([person, index]));
    row.addEventListener("pointerleave", () => view.choose(null));
  });
  return table;
}

function markLow() {
  for (const row of document.querySelectorAll("tr[data-score]")) {
    row.classList.toggle("low", Number(row.dataset.score) < view.threshold);
  }
}

function showChosen(each, place) {
  tip.hidden = !each;
  for (const row of document.querySelectorAll("tr[data-place]")) {
    row.classList.toggle("chosen", row.dataset.place === String(each));
  }
  if (!each) return;
  tip.textContent = `${view.model.keypoints[each[1]]} ${view.point(each).score.toFixed(2)}`;
  const half = tip.offsetWidth / 2; // it stays over the picture
  tip.style.left = `${Math.max(half, Math.min(place.x, canvas.clientWidth - half))}px`;
  tip.style.top = `${place.y}px`;
  if (document.activeElement === canvas) say(`person ${each[0] + 1}: ${tip.textContent}`);
}

async function loadModel() {
  const { models: [model] } = await ask("v1/models");
  view.model = model;
  const people = model.finds_people ? "finds people" : "takes a photo as one person";
  element("model").textContent = `${model.name}: ${model.keypoints.length} keypoints, ${model.runtime}; ${people}`;
}

function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function toggleCamera() {
  const button = element("camera");
  if (video.srcObject) {
    video.srcObject.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
  } else {
    try {
      if (!navigator.mediaDevices) throw new Error("this page has to come from localhost or by https");
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
      await video.play();
      say("The camera is on; press its button again to stop.");
      live();
    } catch (error) {
      say(`No camera: ${error.message}`, true);
    }
  }
  const isOn = Boolean(video.srcObject);
  button.setAttribute("aria-pressed", isOn);
  button.textContent = isOn ? "Stop the camera" : "Use the camera";
}

async function live() {
  const frame = document.createElement("canvas");
  while (video.srcObject) {
    [frame.width, frame.height] = [video.videoWidth, video.videoHeight];
    frame.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => frame.toBlob(resolve, "image/jpeg", 0.9));
    const isFound = await find(blob, true);
    await new Promise((resolve) => setTimeout(resolve, isFound ? 0 : 1000));
  }
}

function take(files, event) {
  const file = [...files].find((each) => each.type.startsWith("image/")) ?? files[0];
  if (!file) return;
  event.preventDefault();
  if (video.srcObject) toggleCamera();
  find(file);
}

element("file").addEventListener("change", (event) => {
  take(event.target.files, event);
  event.target.value = ""; // so that the same photo can be chosen again
});
document.addEventListener("paste", (event) => take(event.clipboardData.files, event));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  take(event.dataTransfer.files, event);
});
element("threshold").addEventListener("input", (event) => {
  view.threshold = Number(event.target.value);
  element("threshold-value").value = view.threshold.toFixed(2);
  view.choose(null);
  view.draw();
  markLow();
});
element("controls").addEventListener("submit", (event) => event.preventDefault());
element("camera").addEventListener("click", toggleCamera);
element("save-json").addEventListener("click", () =>
  save(new Blob([JSON.stringify({ ...answer, keypoint_names: view.model.keypoints }, null, 1)]), "poses.json"));
element("save-png").addEventListener("click", () => {
  view.choose(null);
  canvas.toBlob((blob) => save(blob, "poses.png"));
});
loadModel().catch((error) => say(error.message, true));
