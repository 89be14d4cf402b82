// Reads a bundle, in Node and in browsers: nothing is used before its SHA-256 was found to be that of the manifest.

const MANIFEST = "manifest.json";
const SEAL = "manifest.sha256";

/** The SHA-256 of bytes, in hexadecimal. Browsers have it on https and on localhost alone. */
async function sha256(data) {
  const digest = new Uint8Array(await globalThis.crypto.subtle.digest("SHA-256", data));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const text = (data) => new TextDecoder("utf-8", { fatal: true }).decode(data);

/**
 * A bundle, whose files are read when they are asked for, and checked.
 *
 * @param {(name: string) => Promise<Uint8Array>} read gives a file of the bundle.
 * @returns {Promise<{manifest: object, bytes: (name: string) => Promise<Uint8Array>, json: (name: string) => Promise<any>}>}
 * @throws {Error} a damaged or unlisted file, named.
 */
export async function readBundle(read) {
  const sealed = await read(MANIFEST);
  if (text(await read(SEAL)) !== `${await sha256(sealed)}  ${MANIFEST}\n`) {
    throw new Error(`${SEAL} and ${MANIFEST} do not belong together`);
  }
  const manifest = JSON.parse(text(sealed));
  if (manifest.format !== "tmkd-bundle/1") throw new Error(`${MANIFEST}: of the format ${manifest.format}`);
  const bytes = async (name) => {
    if (!Object.hasOwn(manifest.files, name)) throw new Error(`${name}: not listed in ${MANIFEST}`);
    if (name.startsWith("/") || name.split("/").includes("..")) throw new Error(`${MANIFEST}: lists ${name}`);
    const { size, sha256: expected } = manifest.files[name];
    const data = await read(name);
    if (data.length !== size || (await sha256(data)) !== expected) throw new Error(`${name}: damaged`);
    return data;
  };
  return { manifest, bytes, json: async (name) => JSON.parse(text(await bytes(name))) };
}

const TYPES = { "|u1": Uint8Array, "<f4": Float32Array };

/**
 * The one array of an uncompressed `.npz`: a zip file with one `.npy` of format 1.0.
 *
 * @param {Uint8Array} npz
 * @returns {{dims: number[], data: Uint8Array | Float32Array}}
 */
export function readArray(npz) {
  const zip = new DataView(npz.buffer, npz.byteOffset, npz.byteLength);
  const [magic, method] = [zip.getUint32(0, true), zip.getUint16(8, true)];
  if (magic !== 0x04034b50 || method !== 0) throw new Error("not an uncompressed zip file");
  const start = 30 + zip.getUint16(26, true) + zip.getUint16(28, true);
  const npy = npz.subarray(start, start + zip.getUint32(22, true));
  const latin1 = (from, to) => String.fromCharCode(...npy.subarray(from, to));
  if (latin1(0, 8) !== "\x93NUMPY\x01\x00") throw new Error("not an array of format 1.0");
  const end = 10 + npy[8] + 256 * npy[9];
  const header = latin1(10, end);
  const [, type] = header.match(/'descr': '([^']+)'/);
  const dims = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((side) => side.trim()).map(Number);
  if (!(type in TYPES) || !header.includes("'fortran_order': False")) throw new Error(`cannot read ${header}`);
  const data = new TYPES[type](npy.slice(end).buffer);
  if (data.length !== dims.reduce((product, side) => product * side, 1)) throw new Error("an array that was cut");
  return { dims, data };
}
