// Poses over a picture on a canvas that has the picture's own pixels.

const LEFT = "#ff8000", RIGHT = "#00a0ff", MIDDLE = "#00dc5a"; // as in ppose.visualize
const REACH = 16; // of the pointer around a keypoint, in pixels of the screen

export class PoseView {
  // `model` is of /v1/models; `onChoose(person, keypoint, place)` is told what is pointed at, or null.
  constructor(canvas, onChoose) {
    this.canvas = canvas;
    this.onChoose = onChoose;
    this.threshold = 0.2;
    this.model = null;
    this.picture = null;
    this.people = [];
    this.chosen = null;
    canvas.addEventListener("pointermove", (event) => this.choose(this.nearest(event.offsetX, event.offsetY)));
    canvas.addEventListener("pointerleave", () => this.choose(null));
    canvas.addEventListener("blur", () => this.choose(null));
    canvas.addEventListener("keydown", (event) => this.step(event));
  }

  // `people`: for each a list of {x, y, score} in pixels of the picture.
  show(picture, people) {
    this.picture?.close?.();
    this.picture = picture;
    this.people = people;
    this.chosen = null;
    if (this.canvas.width !== picture.width || this.canvas.height !== picture.height) {
      this.canvas.width = picture.width;
      this.canvas.height = picture.height;
    }
    this.draw();
  }

  colour(index) {
    for (const [a, b] of this.model.flip_pairs) {
      if (index !== a && index !== b) continue;
      const left = this.model.keypoints[a].toLowerCase().startsWith("left") ? a : b;
      return index === left ? LEFT : RIGHT;
    }
    return MIDDLE;
  }

  draw() {
    if (!this.picture) return;
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height); // a picture may be transparent
    context.drawImage(this.picture, 0, 0);
    const width = Math.max(1.5, Math.hypot(this.canvas.width, this.canvas.height) / 400);
    context.lineWidth = width;
    for (const points of this.people) {
      const seen = (index) => points[index].score >= this.threshold;
      for (const [a, b] of this.model.skeleton.filter((limb) => limb.every(seen))) {
        context.strokeStyle = this.colour(a) === this.colour(b) ? this.colour(a) : MIDDLE;
        context.beginPath();
        context.moveTo(points[a].x + 0.5, points[a].y + 0.5); // (0, 0) is the middle of the first pixel
        context.lineTo(points[b].x + 0.5, points[b].y + 0.5);
        context.stroke();
      }
      points.forEach((point, index) => seen(index) && this.dot(context, point, 1.6 * width, this.colour(index)));
    }
    if (this.chosen) this.dot(context, this.point(this.chosen), 3 * width, "transparent");
  }

  dot(context, point, radius, colour) {
    context.beginPath();
    context.arc(point.x + 0.5, point.y + 0.5, radius, 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
    context.strokeStyle = "white";
    context.stroke();
  }

  point([person, keypoint]) {
    return this.people[person][keypoint];
  }

  // What is drawn, as [person, keypoint].
  visible() {
    return this.people.flatMap((points, person) =>
      points.flatMap((point, keypoint) => (point.score >= this.threshold ? [[person, keypoint]] : [])));
  }

  nearest(x, y) {
    const scale = this.canvas.clientWidth / this.canvas.width;
    let best = null, least = REACH;
    for (const each of this.visible()) {
      const point = this.point(each);
      const distance = Math.hypot((point.x + 0.5) * scale - x, (point.y + 0.5) * scale - y);
      if (distance < least) [best, least] = [each, distance];
    }
    return best;
  }

  choose(each) {
    if (String(each) === String(this.chosen)) return;
    this.chosen = each;
    this.draw();
    const scale = this.canvas.clientWidth / this.canvas.width;
    const point = each && this.point(each);
    this.onChoose(each, point && { x: (point.x + 0.5) * scale, y: (point.y + 0.5) * scale });
  }

  step(event) {
    const all = this.visible();
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (event.key === "Escape") return this.choose(null);
    if (!(event.key in steps) || !all.length) return;
    event.preventDefault();
    const now = all.findIndex((each) => String(each) === String(this.chosen));
    const next = now < 0 ? (steps[event.key] > 0 ? 0 : all.length - 1) : now + steps[event.key];
    this.choose(all[(next + all.length) % all.length]);
  }
}
