// A bundle's classifier: the same in Node and in browsers, given their ONNX Runtime.

import { readArray } from "./bundle.js";

const MODEL = "model.onnx";

/**
 * @param {object} ort the module onnxruntime-web
 * @param {object} bundle as `readBundle` gives it
 */
export async function loadStudent(ort, bundle) {
  const labels = await bundle.json("labels.json");
  const session = await ort.InferenceSession.create(await bundle.bytes(MODEL));
  const temperature = bundle.manifest.calibration?.temperature ?? 1;

  /** Logits of prepared images, `[images, labels]`, as one Float32Array. */
  async function logits({ dims, data }) {
    const found = await session.run({ image: new ort.Tensor("uint8", data, dims) });
    return found.logits.getData();
  }

  /** Labels and probabilities of one image's logits, the most likely first. */
  function rank(row) {
    const scaled = Array.from(row, (logit) => logit / temperature);
    const largest = Math.max(...scaled);
    const exponentials = scaled.map((value) => Math.exp(value - largest));
    const total = exponentials.reduce((sum, value) => sum + value, 0);
    const pairs = exponentials.map((value, index) => [labels[index], value / total]);
    return pairs.sort((one, other) => other[1] - one[1]);
  }

  /**
   * Runs the golden inputs.
   *
   * @throws {Error} the golden outputs are not reproduced.
   */
  async function prove() {
    const image = readArray(await bundle.bytes("golden/inputs.npz"));
    const golden = readArray(await bundle.bytes("golden/outputs.npz"));
    if (golden.dims[1] !== labels.length) throw new Error(`${labels.length} labels for ${golden.dims[1]} logits`);
    const found = await logits(image);
    let [scale, largest] = [0, 0];
    for (let index = 0; index < golden.data.length; index += 1) {
      scale = Math.max(scale, Math.abs(golden.data[index]));
      const difference = Math.abs(found[index] - golden.data[index]);
      if (!(difference <= largest)) largest = difference; // NaN counts
    }
    const [error, allowed] = [largest / scale, bundle.manifest.models[MODEL].golden_tolerance];
    if (!(error <= allowed)) throw new Error(`${MODEL} does not reproduce the golden outputs: error ${error}`);
    const rows = Array.from({ length: golden.dims[0] }, (_, row) =>
      rank(found.slice(row * labels.length, (row + 1) * labels.length)));
    return { error, allowed, rows, logits: found };
  }

  return { labels, logits, rank, prove };
}
