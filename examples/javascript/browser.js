// The page: proves the bundle that `?bundle=` names on its golden images, then classifies photographs.

import * as ort from "onnxruntime-web";
import { readBundle } from "./bundle.js";
import { decode } from "./photo.js";
import { prepare } from "./preprocess.js";
import { loadStudent } from "./student.js";

const [proof, chooser, answers] = ["proof", "photo", "answers"].map((id) => document.getElementById(id));

/** Files of a bundle below a URL. */
const below = (folder) => async (name) => {
  const response = await fetch(new URL(name, folder), { cache: "no-store" });
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
};

async function main() {
  const given = new URLSearchParams(location.search).get("bundle") ?? "bundle/";
  const bundle = await readBundle(below(new URL(given.endsWith("/") ? given : `${given}/`, location.href)));
  const how = await bundle.json("preprocess.json");
  ort.env.wasm.numThreads = 1; // more need a page that is isolated from other origins
  const student = await loadStudent(ort, bundle);
  const { error, allowed, rows } = await student.prove();
  proof.textContent = `${rows.length} golden images reproduced: largest error ${error.toExponential(2)} of the logits'`
    + ` scale, allowed ${allowed}`;
  chooser.disabled = false;
  chooser.addEventListener("change", async () => {
    answers.replaceChildren();
    const logits = await student.logits(prepare(await decode(chooser.files[0]), how));
    for (const [label, probability] of student.rank(logits).slice(0, 5)) {
      const line = document.createElement("li");
      line.textContent = `${label}: ${(100 * probability).toFixed(2)} %`;
      answers.append(line);
    }
  });
}

main().catch((error) => {
  proof.textContent = `error: ${error.message}`;
});
