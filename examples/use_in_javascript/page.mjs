// Classify a sentence or an image that the user enters.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

const byId = (id) => document.getElementById(id);
const sessions = {};

/** Return the session of a model. The model is loaded when it is first used. */
function loadSession(model) {
  sessions[model] ??= ort.InferenceSession.create(model);
  return sessions[model];
}

/** Run a model, and show the label (or the error message) in an output element of the page. */
async function show(output, model, makeFeeds) {
  output.value = "…";
  try {
    const session = await loadSession(model);
    const { label, probabilities } = await session.run(await makeFeeds());
    const probability = Math.max(...probabilities.data);
    output.value = `${label.data[0]} (${probability.toFixed(2)})`;
  } catch (error) {
    output.value = error.message;
  }
}

/**
 * Read the pixels of an image file: a tensor of shape [1, height, width, 3]. The browser applies
 * the EXIF rotation.
 */
async function readImage(file) {
  const bitmap = await createImageBitmap(file);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data, width, height } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const rgb = new Uint8Array(data.filter((_, i) => i % 4 !== 3));
  return new ort.Tensor("uint8", rgb, [1, height, width, 3]);
}

byId("classify").addEventListener("click", () => {
  const sentence = byId("sentence").value;
  show(byId("text-label"), "text.onnx", () => ({
    text: new ort.Tensor("string", [sentence], [1, 1]),
  }));
});

byId("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (!file) return; // the dialog was cancelled
  URL.revokeObjectURL(byId("shown").src);
  byId("shown").src = URL.createObjectURL(file);
  show(byId("image-label"), "image.onnx", async () => ({ image: await readImage(file) }));
});
