// The pixels of a photograph in a browser.

/**
 * Decodes an image file: upright, its colour profile left out of account, transparent pixels over white.
 *
 * A canvas holds colours multiplied by their opacity, so that half-transparent pixels may be off by one; opaque ones are
 * as the browser's decoder gives them.
 *
 * @param {Blob} file
 * @returns {Promise<{data: Uint8ClampedArray, width: number, height: number}>} RGBA
 */
export async function decode(file) {
  const image = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  const { width, height } = image;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(image, 0, 0);
  image.close();
  return { data: context.getImageData(0, 0, width, height).data, width, height };
}
