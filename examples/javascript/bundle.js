// Reads a bundle: nothing is used before its SHA-256 was found to be that of the manifest.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const MANIFEST = "manifest.json";
const SEAL = "manifest.sha256";
const MAY_BE_ADDED = "model.sig";

const sha256 = (data) => createHash("sha256").update(data).digest("hex");

/**
 * The files of a bundle, all checked.
 *
 * @param {string} folder
 * @returns {{manifest: object, bytes: (name: string) => Buffer, json: (name: string) => any}}
 * @throws {Error} a damaged, missing or unlisted file, named.
 */
export function readBundle(folder) {
  const sealed = readFileSync(join(folder, MANIFEST));
  if (readFileSync(join(folder, SEAL), "latin1") !== `${sha256(sealed)}  ${MANIFEST}\n`) {
    throw new Error(`${SEAL} and ${MANIFEST} do not belong together`);
  }
  const manifest = JSON.parse(sealed.toString("utf8"));
  if (manifest.format !== "tmkd-bundle/1") throw new Error(`${MANIFEST}: of the format ${manifest.format}`);
  const contents = new Map();
  for (const [name, entry] of Object.entries(manifest.files)) {
    if (name.startsWith("/") || name.split("/").includes("..")) throw new Error(`${MANIFEST}: lists ${name}`);
    const data = readFileSync(join(folder, name));
    if (data.length !== entry.size || sha256(data) !== entry.sha256) throw new Error(`${name}: damaged`);
    contents.set(name, data);
  }
  for (const found of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const name = join(found.parentPath, found.name).slice(join(folder, "/").length).replaceAll("\\", "/");
    const listed = contents.has(name) || [MANIFEST, SEAL, MAY_BE_ADDED].includes(name);
    if (!found.isDirectory() && !listed) throw new Error(`${name}: not listed in ${MANIFEST}`);
  }
  const bytes = (name) => {
    if (!contents.has(name)) throw new Error(`${name}: not listed in ${MANIFEST}`);
    return contents.get(name);
  };
  return { manifest, bytes, json: (name) => JSON.parse(bytes(name).toString("utf8")) };
}

const TYPES = { "|u1": Uint8Array, "<f4": Float32Array };

/**
 * The one array of an uncompressed `.npz`: a zip file with one `.npy` of format 1.0.
 *
 * @param {Buffer} npz
 * @returns {{dims: number[], data: Uint8Array | Float32Array}}
 */
export function readArray(npz) {
  if (npz.readUInt32LE(0) !== 0x04034b50 || npz.readUInt16LE(8) !== 0) throw new Error("not an uncompressed zip file");
  const start = 30 + npz.readUInt16LE(26) + npz.readUInt16LE(28);
  const npy = npz.subarray(start, start + npz.readUInt32LE(22));
  if (npy.toString("latin1", 0, 8) !== "\x93NUMPY\x01\x00") throw new Error("not an array of format 1.0");
  const end = 10 + npy.readUInt16LE(8);
  const header = npy.toString("latin1", 10, end);
  const [, type] = header.match(/'descr': '([^']+)'/);
  const dims = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((side) => side.trim()).map(Number);
  if (!(type in TYPES) || !header.includes("'fortran_order': False")) throw new Error(`cannot read ${header}`);
  const values = npy.subarray(end);
  const data = new TYPES[type](values.buffer.slice(values.byteOffset, values.byteOffset + values.length));
  if (data.length !== dims.reduce((product, side) => product * side, 1)) throw new Error("an array that was cut");
  return { dims, data };
}
