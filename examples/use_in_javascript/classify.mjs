// Classify sentences or PNG images in node:
//
//     node classify.mjs text.onnx "Compute the eigenvalues of a matrix." "Draw a line."
//     node classify.mjs image.onnx cat.png coffee.png

import { readFile } from "node:fs/promises";
import { argv } from "node:process";

import * as ort from "onnxruntime-node";
import { PNG } from "pngjs";

/** Read the pixels of a PNG file: a tensor of shape [1, height, width, 3], RGB without alpha. */
async function readImage(path) {
  const { width, height, data } = PNG.sync.read(await readFile(path));
  const rgb = new Uint8Array(data.filter((_, i) => i % 4 !== 3));
  return new ort.Tensor("uint8", rgb, [1, height, width, 3]);
}

const [model, ...rows] = argv.slice(2);
const session = await ort.InferenceSession.create(model);
const takesText = session.inputNames.includes("text");
for (const row of rows) {
  const feeds = takesText
    ? { text: new ort.Tensor("string", [row], [1, 1]) }
    : { image: await readImage(row) };
  const { label, probabilities } = await session.run(feeds);
  const probability = Math.max(...probabilities.data);
  console.log(`${row.slice(0, 60)}: ${label.data[0]} ${probability.toFixed(2)}`);
}
