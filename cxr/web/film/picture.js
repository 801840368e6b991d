// The film: 16-bit samples that arrive once, and the window through which they are seen.

// A film comes as bytes: 32 characters of its name, width, height (uint32), samples (uint16),
// all little endian; lambdas/report/film.py writes all but the name.
const NAME_BYTES = 32;
const FILMS_KEPT = 3;
const films = new Map();
const waiting = new Set();

function takeFilm(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = new TextDecoder().decode(bytes.subarray(0, NAME_BYTES));
  if (films.has(name)) return;
  const width = view.getUint32(NAME_BYTES, true), height = view.getUint32(NAME_BYTES + 4, true);
  const samples = new Uint16Array(bytes.slice(NAME_BYTES + 8).buffer);
  if (samples.length !== width * height) throw new Error("the film is not whole");
  films.set(name, { width, height, samples });
  while (films.size > FILMS_KEPT) films.delete(films.keys().next().value);
  for (const viewer of waiting) viewer.filmCame();
}

// Draw samples through a window. width and level are shares of the grey scale, in [0, 1].
function drawFilm(canvas, film, { width, level, inverted }) {
  if (canvas.width !== film.width || canvas.height !== film.height) {
    canvas.width = film.width;
    canvas.height = film.height;
  }
  const lowest = level - width / 2, table = new Uint32Array(65536);
  for (let sample = 0; sample < 65536; sample++) {
    let grey = Math.round(255 * (sample / 65535 - lowest) / width);
    grey = grey < 0 ? 0 : grey > 255 ? 255 : grey;
    if (inverted) grey = 255 - grey;
    table[sample] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
  const image = new ImageData(film.width, film.height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let index = 0; index < pixels.length; index++) pixels[index] = table[film.samples[index]];
  canvas.getContext("2d", { alpha: false }).putImageData(image, 0, 0);
}
