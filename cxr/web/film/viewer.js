// The viewer: magnification, window, boxes, and what a person does to them.
// Python sends the film once and the marks on every run; it gets `edit` events back.

const MOST_ZOOM = 12;
const KEY_STEP = 0.005;

class Viewer {
  constructor(root) {
    this.root = root;
    this.find = (name) => root.querySelector(`.${name}`);
    this.stage = this.find("stage");
    this.canvas = this.find("film");
    this.svg = this.find("marks");
    this.tip = this.find("tip");
    this.data = { marks: [] };
    this.window = { width: 1, level: 0.5, inverted: false };
    this.scale = 1; this.left = 0; this.top = 0; this.fitted = true;
    this.chosen = null; this.drawing = false; this.dragged = null; this.pointers = new Map();
    this.wire();
    this.resized = new ResizeObserver(() => (this.fitted ? this.fit() : this.place()));
    this.resized.observe(this.stage);
  }

  update(data, send) {
    const changed = data.film !== this.data.film;
    this.data = data; this.send = send;
    if (changed) { this.film = null; this.chosen = null; this.fitted = true; }
    if (!data.editing) this.setDrawing(false);
    this.find("draw").hidden = !data.editing;
    this.find("left").textContent = data.letters?.[0] ?? "";
    this.find("right").textContent = data.letters?.[1] ?? "";
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", data.said);
    this.filmCame();
  }

  filmCame() {
    const film = films.get(this.data.film);
    this.find("wait").hidden = Boolean(film);
    if (!film) return void waiting.add(this);
    waiting.delete(this);
    if (film !== this.film) {
      this.film = film;
      this.stage.style.setProperty("--aspect", film.width / film.height);
      this.paint();
    }
    if (this.fitted) this.fit(); else this.place();
  }

  paint() {
    if (!this.film || this.painting) return;
    this.painting = requestAnimationFrame(() => {
      this.painting = null;
      if (this.film) drawFilm(this.canvas, this.film, this.window);
    });
  }

  setWindow(change) {
    Object.assign(this.window, change);
    this.window.width = Math.min(1, Math.max(0.05, this.window.width));
    this.window.level = Math.min(1, Math.max(0, this.window.level));
    this.find("width").value = Math.round(100 * this.window.width);
    this.find("level").value = Math.round(100 * this.window.level);
    this.find("invert").setAttribute("aria-pressed", this.window.inverted);
    this.paint();
  }

  fit() {
    if (!this.film) return;
    const { clientWidth: w, clientHeight: h } = this.stage;
    this.scale = Math.min(w / this.film.width, h / this.film.height);
    this.left = (w - this.film.width * this.scale) / 2;
    this.top = (h - this.film.height * this.scale) / 2;
    this.fitted = true;
    this.place();
  }

  zoom(factor, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    if (!this.film) return;
    const smallest = Math.min(this.stage.clientWidth / this.film.width, this.stage.clientHeight / this.film.height);
    const scale = Math.min(MOST_ZOOM, this.scale * factor);
    if (scale <= smallest * 1.01) return void this.fit();
    this.left = x - (x - this.left) * (scale / this.scale);
    this.top = y - (y - this.top) * (scale / this.scale);
    this.scale = scale; this.fitted = false;
    this.place();
  }

  pan(dx, dy) {
    if (this.fitted) return;
    this.left += dx; this.top += dy;
    this.place();
  }

  place() {
    if (!this.film) return;
    const { clientWidth: w, clientHeight: h } = this.stage;
    const [fw, fh] = [this.film.width * this.scale, this.film.height * this.scale];
    // a film that is wider than the stage covers it, a narrower one stays within
    this.left = fw > w ? Math.min(0, Math.max(w - fw, this.left)) : (w - fw) / 2;
    this.top = fh > h ? Math.min(0, Math.max(h - fh, this.top)) : (h - fh) / 2;
    this.canvas.style.transform = `translate(${this.left}px, ${this.top}px) scale(${this.scale})`;
    this.canvas.style.imageRendering = this.scale > 3 ? "pixelated" : "auto";
    this.stage.classList.toggle("moved", !this.fitted);
    this.find("zoom").textContent = `${Math.round(100 * this.scale)} %`;
    this.drawBoxes();
  }

  drawBoxes() {
    if (!this.film) return;
    const at = (x, y) => [this.left + x * this.film.width * this.scale, this.top + y * this.film.height * this.scale];
    drawMarks(this.svg, this.data.marks, at, { editing: this.data.editing, chosen: this.chosen });
    if (this.tip.dataset.id && !this.mark(this.tip.dataset.id)) this.say(null);
  }

  mark(id) { return this.data.marks.find((mark) => mark.id === id); }

  fraction(event) {
    const frame = this.stage.getBoundingClientRect();
    const share = (value, start, size) => Math.min(1, Math.max(0, (value - start) / (size * this.scale)));
    return [
      share(event.clientX - frame.left, this.left, this.film.width),
      share(event.clientY - frame.top, this.top, this.film.height),
    ];
  }

  say(mark, x = 0, y = 0) {
    this.tip.hidden = !mark;
    this.tip.dataset.id = mark?.id ?? "";
    if (!mark) return;
    this.tip.replaceChildren(Object.assign(document.createElement("b"), { textContent: mark.title }), mark.detail);
    const room = this.stage.clientWidth - this.tip.offsetWidth - 4;
    this.tip.style.left = `${Math.max(4, Math.min(x + 14, room))}px`;
    const below = y + 18 + this.tip.offsetHeight < this.stage.clientHeight;
    this.tip.style.top = `${below ? y + 18 : Math.max(4, y - this.tip.offsetHeight - 8)}px`;
  }

  setDrawing(on) {
    this.drawing = on;
    this.find("draw").setAttribute("aria-pressed", on);
    this.stage.classList.toggle("drawing", on);
  }

  toggle(name, off) {
    const button = this.find(name), on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", on);
    this.svg.classList.toggle(off, !on);
  }

  edit(action, mark, box) {
    this.send("edit", { action, id: mark?.id ?? null, box: box ?? null });
  }
}

const viewers = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const host = parentElement.host ?? parentElement;
  if (data instanceof Uint8Array) {
    // this instance only carries the film: it takes no room on the page
    const frame = host.closest('[data-testid="stElementContainer"]') ?? host;
    frame.style.display = "none";
    parentElement.querySelector(".viewer")?.remove();
    takeFilm(data);
    return undefined;
  }
  let viewer = viewers.get(parentElement);
  if (!viewer) viewers.set(parentElement, (viewer = new Viewer(parentElement)));
  viewer.update(data, setTriggerValue);
  return () => { waiting.delete(viewer); viewer.resized.disconnect(); viewers.delete(parentElement); };
}
