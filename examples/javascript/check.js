// node check.js BUNDLE: runs the model on the golden inputs and compares with the golden outputs.

import * as ort from "onnxruntime-web";
import { readArray, readBundle } from "./bundle.js";

const MODEL = "model.onnx";

/** What the input has to be, from preprocess.json; an image prepared otherwise gets other answers. */
function checkInput(preprocess, dims) {
  const { size, layout, dtype, colour_order: order } = preprocess;
  if (layout !== "NHWC" || dtype !== "uint8" || order !== "RGB") throw new Error(`cannot prepare ${layout} ${dtype}`);
  const expected = [dims[0], size, size, 3];
  if (expected.join() !== dims.join()) throw new Error(`golden inputs are [${dims}], not [${expected}]`);
}

/** Probabilities of one image's logits, at the temperature of the manifest. */
function softmax(logits, temperature) {
  const scaled = Array.from(logits, (logit) => logit / temperature);
  const largest = Math.max(...scaled);
  const exponentials = scaled.map((value) => Math.exp(value - largest));
  const total = exponentials.reduce((sum, value) => sum + value, 0);
  return exponentials.map((value) => value / total);
}

async function main(folder) {
  const { manifest, bytes, json } = readBundle(folder);
  const labels = json("labels.json");
  const image = readArray(bytes("golden/inputs.npz"));
  const golden = readArray(bytes("golden/outputs.npz"));
  checkInput(json("preprocess.json"), image.dims);
  if (golden.dims[1] !== labels.length) throw new Error(`${labels.length} labels for ${golden.dims[1]} logits`);

  const session = await ort.InferenceSession.create(new Uint8Array(bytes(MODEL)));
  const { logits } = await session.run({ image: new ort.Tensor("uint8", image.data, image.dims) });
  const found = await logits.getData();

  let scale = 0;
  let largest = 0;
  for (let index = 0; index < golden.data.length; index += 1) {
    scale = Math.max(scale, Math.abs(golden.data[index]));
    const difference = Math.abs(found[index] - golden.data[index]);
    if (!(difference <= largest)) largest = difference; // NaN counts
  }
  const temperature = manifest.calibration?.temperature ?? 1;
  for (let row = 0; row < golden.dims[0]; row += 1) {
    const probabilities = softmax(found.slice(row * labels.length, (row + 1) * labels.length), temperature);
    const highest = Math.max(...probabilities);
    console.log(`golden image ${row}: ${labels[probabilities.indexOf(highest)]} (${(100 * highest).toFixed(2)} %)`);
  }
  const error = largest / scale;
  const allowed = manifest.models[MODEL].golden_tolerance;
  console.log(`largest error ${error.toExponential(2)} of the logits' scale, allowed ${allowed}`);
  if (!(error <= allowed)) throw new Error(`${MODEL} does not reproduce the golden outputs`);
}

if (process.argv.length !== 3) {
  console.error("usage: node check.js BUNDLE");
  process.exit(2);
}
await main(process.argv[2]).catch((error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 3;
});
