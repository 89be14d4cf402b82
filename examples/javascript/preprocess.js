// From the pixels of a photograph to the model's input, to the pixel as preprocess.json says.
//
// The resize is not that of a canvas: browsers choose its filter, and it may be another one in the next version.

const BITS = 22; // of the fixed-point weights of a filter

const FILTERS = {
  bilinear: { reach: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    reach: 2, // Keys' cubic with a = -1/2
    at: (x) => {
      const t = Math.abs(x);
      if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
      return t < 2 ? -0.5 * (((t - 5) * t + 8) * t - 4) : 0;
    },
  },
};

const KNOWN = {
  resize_mode: "shorter_side", resize_rounding: "floor of the longer side", antialias: true, crop: "centre",
  resize_order: "width, then height; rounded to 8 bits after each", crop_rounding: "half to even of the margin / 2",
  colour_order: "RGB", transparency: "over white", orientation: "EXIF applied", layout: "NHWC", dtype: "uint8",
};

/**
 * The input of the model, `[1, size, size, 3]`.
 *
 * @param {{data: Uint8Array | Uint8ClampedArray, width: number, height: number}} photo upright, RGBA, not premultiplied
 * @param {object} how preprocess.json
 * @returns {{dims: number[], data: Uint8Array}}
 * @throws {Error} `how` asks for something that this does not do.
 */
export function prepare(photo, how) {
  for (const [key, value] of Object.entries(KNOWN)) {
    if (how[key] !== value) throw new Error(`cannot follow ${key}: ${how[key]}`);
  }
  const { width, height } = photo;
  const longer = Math.floor((how.resize * Math.max(width, height)) / Math.min(width, height));
  const [newWidth, newHeight] = width <= height ? [how.resize, longer] : [longer, how.resize];
  let pixels = overWhite(photo.data);
  pixels = resizeRows(pixels, width, height, newWidth, FILTERS[how.interpolation]);
  pixels = transposed(resizeRows(transposed(pixels, newWidth, height), height, newWidth, newHeight,
    FILTERS[how.interpolation]), newHeight, newWidth);
  const [left, top] = [newWidth, newHeight].map((side) => halfToEven(side - how.size));
  const data = new Uint8Array(how.size * how.size * 3);
  for (let row = 0; row < how.size; row += 1) {
    const start = ((top + row) * newWidth + left) * 3;
    data.set(pixels.subarray(start, start + how.size * 3), row * how.size * 3);
  }
  return { dims: [1, how.size, how.size, 3], data };
}

/** RGBA to RGB: what is transparent shows white. */
function overWhite(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    const alpha = rgba[from + 3];
    for (let channel = 0; channel < 3; channel += 1) {
      rgb[to + channel] = Math.round((rgba[from + channel] * alpha + 255 * (255 - alpha)) / 255);
    }
  }
  return rgb;
}

/** Half of a margin, a half pixel to the even number. */
function halfToEven(margin) {
  const half = margin / 2;
  const below = Math.floor(half);
  return half - below === 0.5 ? below + (below % 2) : Math.round(half);
}

/** Every row of `[height, width, 3]` to another width, rounded to 8 bits; the filter widens where rows shrink. */
function resizeRows(pixels, width, height, newWidth, filter) {
  if (width === newWidth) return pixels;
  const scale = width / newWidth;
  const stretch = Math.max(scale, 1);
  const out = new Uint8Array(newWidth * height * 3);
  for (let column = 0; column < newWidth; column += 1) {
    const { first, weights } = weightsOf((column + 0.5) * scale, stretch, width, filter);
    for (let row = 0; row < height; row += 1) {
      const start = (row * width + first) * 3;
      for (let channel = 0; channel < 3; channel += 1) {
        let sum = 2 ** (BITS - 1); // rounds; all sums are whole numbers that a double holds
        for (let tap = 0; tap < weights.length; tap += 1) sum += pixels[start + tap * 3 + channel] * weights[tap];
        out[(row * newWidth + column) * 3 + channel] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** BITS)));
      }
    }
  }
  return out;
}

/** The pixels of a row that a new one follows from, and their weights in fixed point. */
function weightsOf(centre, stretch, width, { reach, at }) {
  const support = reach * stretch;
  const first = Math.max(0, Math.trunc(centre - support + 0.5));
  const last = Math.min(width, Math.trunc(centre + support + 0.5));
  const raw = Array.from({ length: last - first }, (_, tap) => at((first + tap - centre + 0.5) * (1 / stretch)));
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  const weights = raw.map((weight) => {
    const fixed = (weight / total) * 2 ** BITS;
    return Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
  });
  return { first, weights };
}

/** `[height, width, 3]` to `[width, height, 3]`. */
function transposed(pixels, width, height) {
  const out = new Uint8Array(pixels.length);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const [from, to] = [(row * width + column) * 3, (column * height + row) * 3];
      for (let channel = 0; channel < 3; channel += 1) out[to + channel] = pixels[from + channel];
    }
  }
  return out;
}
