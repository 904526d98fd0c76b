// Chapter 4: the prompt. Lua runs in a worker of its own, so that nothing it does stops the page.

const PIECES = ['help "conv2d"', "model", 'apropos "pool"', 'plot.lines{{y = lt.randn(50):cumsum(1)}, title = "A walk"}',
  'plot.scatter{points = model:codes(test), labels = test.labels, centers = true}',
  'plot.image_rows{rows = {{label = "clean", images = data.examples(test)}}}'];
const MOST_LINES = 400; // elements of the log

function promptChapter() {
  const log = byId("log"), input = byId("input"), more = byId("more");
  const history = [];
  let lab = null, place = 0, before = "", busy = false;

  function add(...nodes) {
    log.append(...nodes);
    while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
    follow();
  }
  const say = (text, kind = "") => add(el("pre", {className: kind}, text));

  const printed = new Printed(element => add(element));
  const follow = () => { log.scrollTop = log.scrollHeight; };

  const grow = () => {
    input.rows = Math.min(12, input.value.split("\n").length);
  };
  function working(on) {
    busy = on;
    byId("enter").hidden = on;
    byId("stop").hidden = !on;
    more.textContent = on ? "Running… Stop ends it, and with it what the session held." : "";
  }

  async function enter(text) {
    if (busy || !text.trim()) return;
    printed.begin();
    working(true);
    try {
      const asked = text.replace(/\n+$/, "");
      const shown = el("pre", {className: "asked"}, asked);
      add(shown);
      const {more: unfinished} = await lab.ask("enter", {text: asked});
      if (unfinished) {
        shown.remove();
        input.value = asked + "\n";
        working(false);
        more.textContent = "Goes on: the input is not complete yet.";
        grow();
        return;
      }
      if (history.at(-1) !== asked) history.push(asked);
      place = history.length;
      input.value = "";
      grow();
    } catch (error) {
      input.value = "";
      say(error.message === "stopped" ? "Stopped. The session begins anew." : String(error.message || error), "wrong");
    }
    working(false);
  }

  // The longest beginning that all words share, and the words themselves where they part.
  async function complete() {
    const at = input.selectionStart, text = input.value.slice(0, at);
    const {words, first} = await lab.ask("complete", {text});
    if (words.length === 0) return;
    let shared = words[0];
    for (const word of words) while (!word.startsWith(shared)) shared = shared.slice(0, -1);
    const begin = text.slice(0, first - 1);
    if (shared.length > text.length - begin.length) {
      input.setRangeText(shared, begin.length, at, "end");
    }
    more.textContent = words.length > 1 ? words.slice(0, 40).join("  ") + (words.length > 40 ? " …" : "") : "";
  }

  function recall(by) {
    if (place === history.length) before = input.value;
    place = Math.min(history.length, Math.max(0, place + by));
    input.value = place === history.length ? before : history[place];
    grow();
    input.setSelectionRange(input.value.length, input.value.length);
  }

  let leaving = false; // Esc lets Tab leave the line, as the keyboard's users need
  input.addEventListener("keydown", event => {
    if (event.isComposing || event.keyCode === 229) return; // the keys are those of an input method: Enter takes its word
    const several = input.value.includes("\n");
    if (event.key === "Enter" && !event.shiftKey) enter(input.value);
    else if (event.key === "Tab" && !event.shiftKey && !leaving && input.value.trim()) complete().catch(() => {});
    else if (event.key === "ArrowUp" && !several) recall(-1);
    else if (event.key === "ArrowDown" && !several) recall(1);
    else {
      if (event.key === "Escape") {
        leaving = true;
        more.textContent = "Tab leaves the line now.";
      }
      return;
    }
    event.preventDefault();
  });
  input.addEventListener("input", () => { leaving = false; grow(); });
  byId("line").addEventListener("submit", event => {
    event.preventDefault();
    enter(input.value);
  });
  byId("stop").onclick = () => lab.restart();
  byId("stop").hidden = true;
  byId("pieces").append(...PIECES.map(piece => el("button", {onclick: () => enter(piece)},
    piece.length > 30 ? piece.slice(0, piece.indexOf("{") + 1) + "…}" : piece)));
  return {
    async open() {
      if (lab) return;
      more.textContent = "Starting a session…";
      lab = new Lab("prompt", text => {
        printed.hear(text);
        follow();
      });
      await lab.ready;
      more.textContent = "";
      if (matchMedia("(pointer: fine)").matches) input.focus({preventScroll: true});
    },
  };
}
