// A button below each piece of Lua in a chapter: it runs here, in the reader's browser. The library comes with the first
// click (laboratory.js, 1.5 MB); the pieces of a page share one session, as the lines of a prompt do.
(function () {
  let opening = null, printed = null, place = null;

  function load() {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = "laboratory.js";
      script.onload = resolve;
      script.onerror = () => reject(new Error("laboratory.js is missing"));
      document.body.append(script);
    });
  }

  async function open() {
    await load();
    printed = new Printed((element) => place.append(element));
    const lab = new Lab("prompt", (text) => printed.hear(text));
    await lab.ready;
    return lab;
  }

  let turn = Promise.resolve(); // one piece at a time
  function run(button, output, text) {
    turn = turn.then(async () => {
      button.disabled = true;
      output.hidden = false;
      output.replaceChildren();
      output.textContent = opening ? "" : "Fetching the library\u2026";
      try {
        const lab = await (opening ||= open());
        output.textContent = "";
        place = output;
        printed.begin();
        await lab.ask("run", { text, name: "piece" });
        if (!output.firstChild) output.append("done, nothing was printed");
      } catch (error) {
        const message = document.createElement("pre");
        message.className = "wrong";
        message.textContent = error.message;
        output.append(message);
      }
      button.disabled = false;
    });
  }

  for (const code of document.querySelectorAll("main pre > code.language-lua")) {
    if (code.textContent.includes("latent.experiment")) continue; // a page has no folders of runs
    const button = document.createElement("button");
    const output = document.createElement("div");
    button.className = "run";
    button.textContent = "Run";
    output.className = "output";
    output.hidden = true;
    output.setAttribute("role", "status");
    button.addEventListener("click", () => run(button, output, code.textContent));
    code.parentElement.after(button, output);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (opening) setColours("");
  });
})();
