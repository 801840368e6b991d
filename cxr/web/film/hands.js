// Mouse, fingers and keys on the viewer.

Viewer.prototype.wire = function () {
  const on = (name, type, act) => this.find(name).addEventListener(type, act);
  on("in", "click", () => this.zoom(1.25));
  on("out", "click", () => this.zoom(0.8));
  on("fit", "click", () => this.fit());
  on("invert", "click", () => this.setWindow({ inverted: !this.window.inverted }));
  on("reset", "click", () => this.setWindow({ width: 1, level: 0.5, inverted: false }));
  on("width", "input", (e) => this.setWindow({ width: e.target.value / 100 }));
  on("level", "input", (e) => this.setWindow({ level: e.target.value / 100 }));
  on("boxes", "click", () => this.toggle("boxes", "off"));
  on("names", "click", () => this.toggle("names", "names-off"));
  on("draw", "click", () => this.setDrawing(!this.drawing));
  const stage = this.stage;
  stage.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
  stage.addEventListener("pointerdown", (e) => this.down(e));
  stage.addEventListener("pointermove", (e) => this.move(e));
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (e) => this.up(e));
  stage.addEventListener("pointerleave", () => this.say(null));
  stage.addEventListener("contextmenu", (e) => e.preventDefault());
  stage.addEventListener("dblclick", (e) => {
    const frame = stage.getBoundingClientRect();
    if (this.fitted) this.zoom(2.5, e.clientX - frame.left, e.clientY - frame.top); else this.fit();
  });
  stage.addEventListener("keydown", (e) => this.key(e));
  this.svg.addEventListener("focusin", (e) => this.focused(e.target));
  this.svg.addEventListener("focusout", () => this.say(null));
};

// The wheel scrolls the page until the image has been clicked, or Ctrl is held.
Viewer.prototype.wheel = function (event) {
  if (!event.ctrlKey && !this.stage.contains(this.stage.getRootNode().activeElement)) return;
  event.preventDefault();
  const frame = this.stage.getBoundingClientRect();
  this.zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - frame.left, event.clientY - frame.top);
};

Viewer.prototype.focused = function (target) {
  const mark = this.mark(target.dataset?.id);
  if (!mark) return;
  const box = target.getBBox();
  this.say(mark, box.x + box.width / 2, box.y + box.height / 2);
  if (this.data.editing && mark.editable && this.chosen !== mark.id) {
    this.chosen = mark.id;
    this.drawBoxes();
  }
};

Viewer.prototype.down = function (event) {
  if (!this.film || event.target.closest("button")) return;
  this.pointers.set(event.pointerId, event);
  this.stage.setPointerCapture(event.pointerId);
  if (this.pointers.size === 2) { this.dragged = { kind: "pinch" }; return; }
  const id = event.target.dataset?.id, mark = this.mark(id);
  if (event.shiftKey || event.button === 2) {
    this.dragged = { kind: "window", ...this.window };
  } else if (this.drawing) {
    this.dragged = { kind: "draw", from: this.fraction(event) };
  } else if (this.data.editing && mark?.editable && (this.chosen === id || event.target.dataset.corner)) {
    const grip = event.target.dataset.corner?.split(" ").map(Number) ?? null;
    this.dragged = { kind: "edit", mark, grip, box: mark.box, from: this.fraction(event) };
  } else {
    this.dragged = { kind: "pan" };
  }
  this.dragged.start = event;
  this.stage.classList.toggle("busy", this.dragged.kind === "pan" && !this.fitted);
};

Viewer.prototype.move = function (event) {
  const before = this.pointers.get(event.pointerId);
  if (!before) return this.hover(event);
  const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
  const drag = this.dragged;
  if (drag?.kind === "pinch") this.pinch(before, event);
  else if (drag?.kind === "pan") this.pan(dx, dy);
  else if (drag?.kind === "window") {
    const [w, h] = [this.stage.clientWidth, this.stage.clientHeight];
    this.setWindow({ width: this.window.width + dx / w, level: this.window.level - dy / h });
  } else if (drag?.kind === "edit") {
    const [x, y] = this.fraction(event);
    drag.mark.box = draggedBox(drag.box, drag.grip, x - drag.from[0], y - drag.from[1]);
    this.drawBoxes();
  } else if (drag?.kind === "draw") {
    drag.box = orderedBox([...drag.from, ...this.fraction(event)]);
    const others = this.data.marks.filter((mark) => mark.id !== "new");
    const style = { colour: "#ffffff", ink: "#000", dash: [4, 3], label: "new", said: "new box" };
    this.data.marks = [...others, { id: "new", number: "+", box: drag.box, ...style }];
    this.drawBoxes();
  }
  this.pointers.set(event.pointerId, event);
};

Viewer.prototype.up = function (event) {
  if (!this.pointers.delete(event.pointerId)) return;
  const drag = this.dragged;
  this.stage.classList.remove("busy");
  if (this.pointers.size) return;
  this.dragged = null;
  if (drag?.kind === "draw") {
    this.data.marks = this.data.marks.filter((mark) => mark.id !== "new");
    this.setDrawing(false);
    if (drag.box && bigEnough(drag.box) && event.type === "pointerup") this.edit("add", null, drag.box);
    this.drawBoxes();
  } else if (drag?.kind === "edit") {
    const same = drag.mark.box.every((edge, index) => edge === drag.box[index]);
    if (same) return;
    if (bigEnough(drag.mark.box) && event.type === "pointerup") this.edit("move", drag.mark, drag.mark.box);
    else { drag.mark.box = drag.box; this.drawBoxes(); }
  } else if (drag?.kind === "pan") {
    this.clicked(drag.start);
  }
};

// A click that moved nothing chooses the box under it.
Viewer.prototype.clicked = function (start) {
  const id = start.target.dataset?.id;
  if (!this.data.editing || this.chosen === (id ?? null)) return;
  this.chosen = id ?? null;
  this.drawBoxes();
};

Viewer.prototype.pinch = function (before, now) {
  const [a, b] = [...this.pointers.values()];
  const other = a.pointerId === now.pointerId ? b : a;
  const gap = (p) => Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY) || 1;
  const frame = this.stage.getBoundingClientRect();
  const x = (now.clientX + other.clientX) / 2 - frame.left, y = (now.clientY + other.clientY) / 2 - frame.top;
  this.zoom(gap(now) / gap(before), x, y);
};

Viewer.prototype.hover = function (event) {
  const frame = this.stage.getBoundingClientRect();
  this.say(this.mark(event.target.dataset?.id) ?? null, event.clientX - frame.left, event.clientY - frame.top);
};

const KEYS = {
  "+": (v) => v.zoom(1.25), "=": (v) => v.zoom(1.25), "-": (v) => v.zoom(0.8), 0: (v) => v.fit(),
  i: (v) => v.setWindow({ inverted: !v.window.inverted }),
  r: (v) => v.setWindow({ width: 1, level: 0.5, inverted: false }),
  b: (v) => v.toggle("boxes", "off"), n: (v) => v.toggle("names", "names-off"),
  d: (v) => v.data.editing && v.setDrawing(!v.drawing),
  "[": (v) => v.setWindow({ width: v.window.width - 0.05 }), "]": (v) => v.setWindow({ width: v.window.width + 0.05 }),
  "{": (v) => v.setWindow({ level: v.window.level - 0.05 }), "}": (v) => v.setWindow({ level: v.window.level + 0.05 }),
  Escape: (v) => { v.setDrawing(false); v.say(null); },
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

Viewer.prototype.key = function (event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const mark = this.mark(event.target.dataset?.id), arrow = ARROWS[event.key];
  const editable = this.data.editing && mark?.editable;
  if (editable && arrow) {
    // arrows move a box, with Shift its lower right corner
    const grip = event.shiftKey ? [2, 3] : null;
    const box = draggedBox(mark.box, grip, arrow[0] * KEY_STEP, arrow[1] * KEY_STEP);
    if (!bigEnough(box)) return;
    mark.box = box;
    this.drawBoxes();
    clearTimeout(this.keyed);
    this.keyed = setTimeout(() => this.edit("move", mark, mark.box), 400);
  } else if (editable && event.key === "Delete") {
    this.edit("remove", mark);
  } else if (this.drawing && event.key === "Enter") {
    this.setDrawing(false);
    this.edit("add", null, [0.4, 0.4, 0.6, 0.6]);
  } else if (arrow) {
    if (this.fitted) return;
    this.pan(-60 * arrow[0], -60 * arrow[1]);
  } else if (KEYS[event.key]) {
    KEYS[event.key](this);
  } else return;
  event.preventDefault();
  event.stopPropagation();
};
