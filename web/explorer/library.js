// Opens the library in a worker: kind "lab" for the chapters, "prompt" for the prompt.

const OPEN = {
  lab: `return require("latent.explorer.open").lab(require "exercises.models")`,
  prompt: `return require("latent.explorer.open").prompt(require "exercises.models",
    require("latent.explorer.prompt").new)`,
};

// A function of the bytes of a request, which returns those of the answer.
async function openLibrary(module, files, kind, printed) {
  const latent = await Latent.load(module, {files, onOutput: printed});
  latent.files.makeFolder("tmp"); // where examples write
  const {values: [serve], error} = latent.run(OPEN[kind]);
  if (error) throw new Error(error);
  return request => {
    const [answer] = latent.call(serve, request), bytes = answer.data.slice();
    answer.release();
    return bytes;
  };
}
