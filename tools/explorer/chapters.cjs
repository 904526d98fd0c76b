// What a reader does in each chapter of the page; `r` is a Reader of test.cjs.
"use strict";

// A path that no hand would draw, but a digit: shares of the pad's sides.
const SEVEN = [[0.3, 0.25], [0.5, 0.25], [0.7, 0.25], [0.62, 0.42], [0.55, 0.6], [0.5, 0.75]];

async function notePlace(r, card, model) {
  const code = (await r.page.$eval(`${card} dd`, e => e.title)).split(" ").map(Number);
  r.note({kind: "decode", model, code, pixels: await r.pixels(`${card} .answer canvas`)});
}

async function path(r, card) {
  const strip = `${card} .strip`, trace = `${card} .bar button:first-child`, play = `${card} .bar button:nth-child(2)`;
  const plays = what => r.until(s => document.querySelector(s).textContent === "Stop", what, play);
  await r.press(play);
  await plays(`${card}: a tour through the classes plays`);
  await r.press(play);
  await r.until(s => document.querySelector(s).textContent !== "Stop", "and stops", play);
  await r.press(trace);
  r.check(await r.page.$eval(trace, e => e.getAttribute("aria-pressed")) === "true", "a path is drawn now");
  await r.drag(`${card} .surface`, [[0.3, 0.3], [0.4, 0.4], [0.5, 0.45], [0.6, 0.5], [0.7, 0.6]]);
  await plays(`${card}: a drawn path plays as a film`);
  r.check(await r.page.$$eval(`${strip} canvas`, list => list.length) >= 8, "and its pictures stand side by side");
  await r.press(play);
  await r.focus(`${card} .surface`);
  await r.keys("ArrowLeft", "ArrowLeft", "ArrowUp", "Enter");
  await plays(`${card}: a path of keys plays`);
  await r.press(play);
  await r.focus(trace);
  await r.keys("Space");
  r.check(await r.page.$eval(trace, e => e.getAttribute("aria-pressed")) === "false", "Space ends the drawing");
}

exports.plane = async r => {
  await notePlace(r, "#map-vae", "vae2");
  await notePlace(r, "#map-ae", "autoencoder");
  // A pointer, or a finger, moves: the picture follows.
  const points = Array.from({length: 40}, (_, i) => [0.2 + 0.6 * i / 39, 0.5 + 0.3 * Math.sin(i / 6)]);
  for (const [card, model] of [["#map-vae", "vae2"], ["#map-ae", "autoencoder"]]) {
    await r.changes(`${card} dd`, () => r.drag(`${card} .surface`, points), `${card}: the code follows the pointer`);
    await r.rest(200);
    await notePlace(r, card, model);
    await r.focus(`${card} .surface`);
    for (const key of ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home"]) {
      await r.changes(`${card} dd`, () => r.keys(key), `${card}: ${key} moves the code`);
    }
    await r.rest(200);
    await notePlace(r, card, model);
  }
  // The slider, by key and by pointer, over all betas.
  await r.focus("#beta");
  await r.changes("#beta-text", () => r.keys("ArrowRight"), "a key chooses beta");
  await r.until(() => /^0\.1 /.test(document.getElementById("beta-text").textContent), "beta 0.1");
  await r.changes("#beta-text", () => r.keys("End"), "End chooses the largest beta");
  await r.changes("#beta-text", () => r.drag("#beta", [[0.99, 0.5], [0.5, 0.5], [0.01, 0.5]]), "a pointer chooses beta");
  await r.rest(300);
  await notePlace(r, "#map-vae", "vae2_beta0.001");
  await r.focus("#beta");
  await r.changes("#beta-text", () => r.keys("ArrowRight"), "back to 0.01");
  await path(r, "#map-vae");
  await path(r, "#map-ae");
  // Chapters by keys, colours by key and pointer.
  await r.focus("#tab-plane");
  await r.keys("ArrowRight");
  await r.until(() => !document.getElementById("digit").hidden, "an arrow opens the next chapter");
  await r.keys("Home");
  await r.until(() => !document.getElementById("plane").hidden, "Home opens the first");
  const theme = () => r.page.$eval("html", e => e.dataset.theme), before = await theme();
  await r.press("#theme");
  r.check(await theme() !== before, "the colours change");
  await r.focus("#theme");
  await r.keys("Enter");
  r.check(await theme() === before, "and back by key");
};

async function noteDigit(r) {
  await r.rest(400);
  const probabilities = await r.page.$$eval("#bars span", list => list.map(e => parseFloat(e.textContent) / 100));
  const pictures = [];
  for (let i = 1; i <= 3; i++) pictures.push(await r.pixels(`#models article:nth-child(${i}) .row > canvas`));
  r.note({kind: "digit", image: await r.pixels("#seen"), probabilities, pictures});
}

exports.digit = async r => {
  await r.open("digit");
  await r.until(() => document.querySelectorAll("#models .near li").length === 15, "neighbours are shown");
  await noteDigit(r);
  const code = "#models article:nth-child(2) .code";
  await r.changes(code, () => r.press("#clear").then(() => r.drag("#pad", SEVEN)), "a drawn digit has a code");
  await noteDigit(r);
  await r.changes(code, () => r.drag("#pad", [[0.4, 0.5], [0.65, 0.5]]), "a stroke more changes it");
  await r.changes(code, () => r.press("#undo"), "Undo takes it back");
  await r.changes(code, () => r.press("#borrow"), "a test digit");
  await r.focus("#clear");
  await r.keys("Enter");
  await r.until(() => document.querySelectorAll("#models .near li").length === 0 && !document.querySelector("#bars .best")
    && [...document.querySelectorAll("#bars span, #models .code")].every(e => e.textContent === "–"),
  "Clear leaves nothing of the digit");
  for (const canvas of ["#seen", "#models article:nth-child(1) .row > canvas"]) {
    r.check((await r.pixels(canvas)).every(v => v === 0), `${canvas} is empty`);
  }
  await r.focus("#pad");
  const drawn = () => r.keys("Space", ...Array(8).fill("ArrowDown"), ...Array(6).fill("ArrowRight"), "Space");
  await r.changes(code, drawn, "keys draw");
  await noteDigit(r);
  await r.focus("#undo");
  await r.keys("Space");
  await r.focus("#borrow");
  await r.changes(code, () => r.keys("Enter"), "a test digit, by key");
};

const losses = r => r.page.$$eval("#starts span", list => list.map(e => parseFloat(e.textContent.match(/[\d.]+$/)[0])));
const idle = (r, what) => r.until(() => document.getElementById("search").textContent === "Search", what);

exports.restore = async r => {
  await r.open("restore");
  await r.until(() => /^loss/.test(document.querySelector("#starts span").textContent), "a search begins");
  await r.press("#search");
  await idle(r, "and pauses");
  await r.changes("#which", () => r.press("#after"), "the next image");
  await r.until(() => /^MSE/.test(document.querySelector("#starts span").textContent), "new starts are shown");
  await r.press("#step");
  await r.until(() => /^loss/.test(document.querySelector("#starts span").textContent), "one step");
  const first = await losses(r);
  await r.press("#search");
  await idle(r, "a search ends");
  const last = await losses(r);
  r.check(last.every((l, i) => l <= first[i] + 1e-3) && last[1] < first[1], `losses fall: ${first} to ${last}`);
  const number = async i => parseFloat((await r.text(`#answers figure:nth-child(${i}) span`)).replace("MSE ", ""));
  const [noisy, bottleneck, map] = [await number(2), await number(3), await number(4)];
  r.check(map < noisy && bottleneck < noisy, `MSE: measured ${noisy}, bottleneck ${bottleneck}, MAP ${map}`);
  r.check(await r.page.$eval("#losses canvas", c => c.width > 100), "the losses are drawn");
  await r.press("#draw");
  await r.until(() => document.querySelectorAll("#draws figure").length === 10, "samples of the posterior");
  await r.changes("#noise-text", () => r.focus("#noise").then(() => r.keys("ArrowLeft", "ArrowLeft")), "noise by key");
  await r.changes("#noise-text", () => r.drag("#noise", [[0.4, 0.5], [0.2, 0.5]]), "noise by pointer");
  await r.page.select("#hidden", "left");
  await r.until(() => document.querySelector("#answers figure:nth-child(2) span").textContent === "half hidden", "a half is hidden");
  await r.focus("#hidden");
  await r.keys("ArrowUp");
  await r.focus("#again");
  await r.keys("Enter");
  await r.focus("#search");
  await r.keys("Space");
  await r.until(() => document.getElementById("search").textContent === "Pause", "a search by key");
  await r.keys("Space");
  await idle(r, "pauses by key");
  await r.focus("#step");
  await r.keys("Enter");
  await r.focus("#draw");
  await r.keys("Enter");
  await r.until(() => document.querySelectorAll("#draws figure").length === 10, "samples by key");
  await r.focus("#before");
  await r.changes("#which", () => r.keys("Enter"), "the image before, by key");
  await r.press("#mine");
  await r.until(() => document.getElementById("which").textContent === "your digit", "the reader's own digit");
};

exports.prompt = async r => {
  const said = (text, what) => r.until(t => document.getElementById("log").textContent.includes(t), what, text);
  const free = what => r.until(() => !document.getElementById("enter").hidden, what);
  const type = async text => {
    await free("the line is free");
    await r.focus("#input");
    await r.page.keyboard.type(text);
    await r.keys("Enter");
  };
  await r.open("prompt");
  await r.until(() => document.getElementById("more").textContent === "", "a session begins");
  await type("6 * 7");
  await said("42", "an expression is computed");
  await type("local x = lt.ones(2, 3)");
  await free("a local");
  await type("x:sum()");
  await said("6", "a local stays");
  await type("error 'on purpose'");
  await said("on purpose", "an error is shown");
  await type("for i = 1, 2 do");
  await r.until(() => document.getElementById("input").value === "for i = 1, 2 do\n", "an open input goes on");
  await type("print('line ' .. i) end");
  await said("line 2", "over several lines");
  await free("it ends");
  await r.focus("#input");
  await r.keys("ArrowUp");
  await r.until(() => document.getElementById("input").value.includes("line"), "the arrow brings it back");
  await r.page.$eval("#input", e => {
    e.value = "composed";
    e.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", isComposing: true, bubbles: true, cancelable: true}));
  });
  r.check(await r.page.$eval("#input", e => e.value) === "composed", "Enter of an input method takes its word alone");
  await r.page.$eval("#input", e => { e.value = ""; });
  await r.page.keyboard.type("lt.manual_s");
  await r.keys("Tab");
  await r.until(() => document.getElementById("input").value === "lt.manual_seed", "Tab completes");
  await r.keys("Escape", "Tab");
  r.check(await r.page.$eval("#input", e => e !== document.activeElement), "after Esc, Tab leaves the line");
  await r.page.$eval("#input", e => { e.value = ""; });
  const pieces = await r.page.$$eval("#pieces button", list => list.length);
  for (let i = 1; i <= pieces; i++) {
    await r.press(`#pieces button:nth-child(${i})`);
    await free(`example ${i}`);
  }
  await said("conv2d", "help helps");
  await said("VAE", "the model is shown");
  const drawn = await r.page.$$eval("#log .figure", list => list.map(f => f.querySelectorAll("canvas").length));
  r.check(drawn.length === 3 && drawn.every(n => n > 0), `figures are drawn: ${drawn}`);
  for (const figure of ["plot.bars{{3, 1, 2}, names = {'a', 'b', 'c'}}", "plot.histogram{lt.randn(500)}",
    "plot.heatmap{lt.rand(4, 5), format = '%.1f', levels = 3, series = {{y = {1, 4, 2}, error = {1, 1, 1}, label = 'a'}}}",
    "plot.contour{lt.rand(9, 9), image = lt.rand(3, 3), series = {{y = {1, 9}}}}", "plot.image_grid{images = models.vae2:pictures(lt.randn(9, 2))}",
    "plot.panels{plot.lines{{y = {1, 4, 9}, error = {1, 1, 1}}}, plot.lines{{y = {1, 10}}, log = 'y'}}"]) {
    const before = await r.page.$$eval("#log .figure canvas", list => list.length);
    await type(figure);
    await free(figure);
    await r.until(n => document.querySelectorAll("#log .figure canvas").length > n, `${figure} is drawn`, before);
  }
  await said("Not drawn in this page: image.", "what is not drawn is said");
  await type(`for _, path in ipairs(json.decode(io.open("explorer.json"):read "a").sources) do
require((path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", "."))) end print "all modules load"`
    .replace("\n", " "));
  await said("all modules load\n", "every module of the page loads");
  const wrong = await r.page.$$eval("#log pre.wrong", list => list.map(e => e.textContent));
  r.check(wrong.length === 0, `errors: ${wrong}`);
  await type("while true do end");
  await r.until(() => !document.getElementById("stop").hidden, "what runs can be stopped");
  await r.press("#stop");
  await said("begins anew", "and is");
  await type("1000 + 1");
  await said("1001", "the next session computes");
  await r.page.$eval("#input", e => e.blur());
};
