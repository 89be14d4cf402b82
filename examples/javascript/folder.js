// A bundle in a folder, for Node: all of its files are checked, and there may be no others.

import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { readBundle } from "./bundle.js";

const NOT_LISTED = ["manifest.json", "manifest.sha256", "model.sig"];

/**
 * @param {string} folder
 * @returns as `readBundle`
 * @throws {Error} a damaged, missing or unlisted file, named.
 */
export async function openFolder(folder) {
  const bundle = await readBundle(async (name) => new Uint8Array(await readFile(join(folder, name))));
  for (const name of Object.keys(bundle.manifest.files)) await bundle.bytes(name);
  for (const found of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const name = join(found.parentPath, found.name).slice(join(folder, "/").length).replaceAll("\\", "/");
    const listed = Object.hasOwn(bundle.manifest.files, name) || NOT_LISTED.includes(name);
    if (!found.isDirectory() && !listed) throw new Error(`${name}: not listed in manifest.json`);
  }
  return bundle;
}
