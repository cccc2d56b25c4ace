// Compare the labels of a model with those of the estimator that it was made from:
//
//     node check.mjs onnxruntime-node text.onnx rows.json
//     node check.mjs onnxruntime-web image.onnx rows.json
//
// rows.json has the texts, or base64 of the pixels of each image, and the labels that are expected.

import { readFile } from "node:fs/promises";
import { argv, exit } from "node:process";

const [runtime, model, file] = argv.slice(2);
const module = await import(runtime);
const ort = module.InferenceSession ? module : module.default;
const { texts, images, labels } = JSON.parse(await readFile(file, "utf8"));
const session = await ort.InferenceSession.create(await readFile(model));

let equal = 0;
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
  equal += label.data[0] === expected;
}
console.log(`${runtime}: ${equal} of ${labels.length} labels are equal`);
exit(equal === labels.length ? 0 : 1);
