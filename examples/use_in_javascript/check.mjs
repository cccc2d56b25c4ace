// Compare the labels of an exported model with those of the Python estimator:
//
//     node check.mjs onnxruntime-node exact_text.onnx texts.json
//     node check.mjs onnxruntime-web image.onnx images.json
//
// `python export_models.py --rows` writes these files. A JSON file holds the texts, or the pixels of
// the images in base64, and the expected labels.

import { readFile } from "node:fs/promises";
import { argv, exit } from "node:process";

const [runtime, model, file] = argv.slice(2);
const module = await import(runtime);
const ort = module.InferenceSession ? module : module.default;
const { texts, images, labels } = JSON.parse(await readFile(file, "utf8"));
const session = await ort.InferenceSession.create(await readFile(model));

let nEqual = 0;
for (const [i, expected] of labels.entries()) {
  let feeds;
  if (texts) {
    feeds = { text: new ort.Tensor("string", [texts[i]], [1, 1]) };
  } else {
    const { width, height, pixels } = images[i];
    const data = new Uint8Array(Buffer.from(pixels, "base64"));
    feeds = { image: new ort.Tensor("uint8", data, [1, height, width, 3]) };
  }
  const { label } = await session.run(feeds);
  if (label.data[0] === expected) nEqual += 1;
}
console.log(`${runtime}: ${nEqual} of ${labels.length} labels are equal`);
exit(nEqual === labels.length ? 0 : 1);
