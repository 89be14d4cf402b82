// node check.js BUNDLE: checks every file, runs the model on the golden inputs and compares with the golden outputs.

import * as ort from "onnxruntime-web";
import { openFolder } from "./folder.js";
import { loadStudent } from "./student.js";

async function main(folder) {
  const student = await loadStudent(ort, await openFolder(folder));
  const { error, allowed, rows } = await student.prove();
  rows.forEach(([[label, probability]], row) => {
    console.log(`golden image ${row}: ${label} (${(100 * probability).toFixed(2)} %)`);
  });
  console.log(`largest error ${error.toExponential(2)} of the logits' scale, allowed ${allowed}`);
}

if (process.argv.length !== 3) {
  console.error("usage: node check.js BUNDLE");
  process.exit(2);
}
await main(process.argv[2]).catch((error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 3;
});
