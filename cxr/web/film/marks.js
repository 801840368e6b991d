// Boxes over the film: lines as in the report, names, what hovering says, and dragging them.

const SVG = "http://www.w3.org/2000/svg";
const HANDLE_PX = 11;
const CORNERS = [[0, 1], [2, 1], [2, 3], [0, 3]];

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

// Draw every mark. `place` maps fractions of the film to pixels of the stage.
function drawMarks(svg, marks, place, { editing, chosen }) {
  const focused = svg.getRootNode().activeElement?.dataset?.id;
  svg.replaceChildren();
  // large ones first, so that a small box within a large one can be hovered
  const area = (mark) => (mark.box[2] - mark.box[0]) * (mark.box[3] - mark.box[1]);
  const taken = [], names = [];
  for (const mark of [...marks].sort((a, b) => area(b) - area(a))) {
    const [x0, y0] = place(mark.box[0], mark.box[1]), [x1, y1] = place(mark.box[2], mark.box[3]);
    const edges = { x: x0, y: y0, width: Math.max(1, x1 - x0), height: Math.max(1, y1 - y0) };
    const group = element("g", { class: `mark ${mark.state ?? ""}` }, svg);
    element("rect", { ...edges, class: "halo", "stroke-width": 4 }, group);
    const line = { stroke: mark.colour, "stroke-width": 2, "stroke-dasharray": mark.dash.join(" ") };
    element("rect", { ...edges, ...line, class: "box" }, group);
    const hit = element("rect", { ...edges, class: "hit", tabindex: 0, role: "img" }, group);
    hit.dataset.id = mark.id;
    hit.setAttribute("aria-label", mark.said);
    names.push([mark, edges]);
    if (editing && mark.editable) {
      hit.style.cursor = "move";
      if (mark.id === chosen) {
        for (const [across, down] of CORNERS) {
          const [x, y] = place(mark.box[across], mark.box[down]);
          const handle = element("rect", {
            x: x - HANDLE_PX / 2, y: y - HANDLE_PX / 2, width: HANDLE_PX, height: HANDLE_PX, class: "handle",
          }, group);
          Object.assign(handle.dataset, { id: mark.id, corner: `${across} ${down}` });
        }
      }
    }
    if (mark.id === focused) hit.focus({ preventScroll: true });
  }
  // above all lines; small boxes' names get their places first
  const layer = element("g", { class: "names" }, svg), frame = svg.getBoundingClientRect();
  for (const [mark, edges] of names.reverse()) drawName(layer, mark, edges, frame, taken);
}

// The number on the colour, then the name; moved down while another name lies there.
function drawName(layer, mark, edges, frame, taken) {
  const height = 18, wide = 9 + 7 * String(mark.number).length;
  const name = element("g", { class: "key" }, layer);
  const text = element("text", { y: 13, fill: "#fff", class: "name" }, name);
  text.textContent = mark.label;
  const length = wide + 8 + Math.ceil(text.getComputedTextLength?.() || 7 * mark.label.length);
  let x = Math.min(Math.max(edges.x - 2, 0), Math.max(0, frame.width - length)), y = edges.y - height;
  if (y < 0) y = Math.max(0, edges.y + 2);
  const meets = (t) => x < t[0] + t[2] && t[0] < x + length && y < t[1] + height && t[1] < y + height;
  for (let tries = 0; tries < 12 && taken.some(meets); tries++) y += height + 1;
  taken.push([x, y, length]);
  name.setAttribute("transform", `translate(${x} ${y})`);
  text.setAttribute("x", wide + 4);
  const back = element("rect", { width: length, height, fill: "#000", "fill-opacity": 0.72, class: "name" }, name);
  const key = element("rect", { width: wide, height, fill: mark.colour, stroke: "#000" }, name);
  const digit = element("text", { x: wide / 2, y: 13, fill: mark.ink, "text-anchor": "middle" }, name);
  digit.textContent = mark.number;
  name.prepend(back, key, digit);
  name.append(text);
}

// The box that dragging gives. `grip` is null for the whole box, else the two edges that move.
function draggedBox(box, grip, across, down) {
  const moved = [...box];
  if (grip === null) {
    const dx = Math.min(Math.max(across, -box[0]), 1 - box[2]), dy = Math.min(Math.max(down, -box[1]), 1 - box[3]);
    return [box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy];
  }
  moved[grip[0]] = Math.min(1, Math.max(0, moved[grip[0]] + across));
  moved[grip[1]] = Math.min(1, Math.max(0, moved[grip[1]] + down));
  return orderedBox(moved);
}

function orderedBox([x0, y0, x1, y1]) {
  return [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
}

const bigEnough = (box) => box[2] - box[0] > 0.004 && box[3] - box[1] > 0.004;
