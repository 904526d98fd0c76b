// Chapter 3: denoising and inpainting, by the bottleneck, by MAP, and by draws from the posterior.

const STARTS = 4, MOST_STEPS = 600, STEPS_A_FRAME = 4, DRAW_MS = 40;

function restoreChapter(lab, models, images, own) {
  const model = models.find(m => m.kind === "vae" && m.latent !== 2) || models.find(m => m.kind === "vae");
  const noise = byId("noise"), hidden = byId("hidden"), text = byId("search-text");
  let index = 0, mine = null, seed = 1, losses = [], chart = null;
  let running = null; // the search that runs: an earlier one ends where it sees another
  let drawn = 0; // how often samples were asked for, or forgotten

  // Requests that belong together, one group after the other.
  let turn = Promise.resolve();
  function inTurn(f) {
    const next = turn.then(f);
    turn = next.catch(() => {});
    return next;
  }

  const answers = ["Clean", "Measured", "Bottleneck", "MAP, the best"].map(title => shot(title));
  byId("answers").append(...answers.map(a => a.figure));
  const starts = Array.from({length: STARTS}, (_, i) => shot(i ? `Start ${i + 1}, prior` : "Start 1, encoder"));
  byId("starts").append(...starts.map(s => s.figure));
  const mse = x => `MSE ${x.toFixed(3)}`;
  const clean = () => mine || images.data.subarray(index * PIXELS, (index + 1) * PIXELS);

  const curves = () => starts.map((_, i) => ({label: `start ${i + 1}`, x: losses.map((_, k) => k),
    y: losses.map(l => l[i]), color: [1, 2, 3, 7][i]}));

  const lossFigure = {xlabel: "iteration", ylabel: "loss"};

  function plotLosses() {
    const place = byId("losses"), series = lossFigure.series = curves();
    if (chart && chart.chart) return chart.chart.setData([series[0].x, ...series.map(s => s.y)]);
    chart = keepDrawn(place, width => lineChart(place, lossFigure, width,
      Math.max(220, Math.round(width * 0.5))));
  }

  function showStarts(pictures, errors) {
    const last = losses.at(-1), best = last ? last.indexOf(Math.min(...last)) : 0;
    starts.forEach((s, i) => {
      drawPixels(s.canvas, pictures, {index: i});
      s.say(last ? `loss ${last[i].toFixed(3)}` : mse(errors[i]));
      s.figure.classList.toggle("best", !!last && i === best);
    });
    drawPixels(answers[3].canvas, pictures, {index: best});
    answers[3].say(mse(errors[best]));
  }

  function forgetDraws() {
    drawn++;
    byId("draws").replaceChildren();
    byId("drawn").hidden = true;
    byId("draw").disabled = false;
    byId("draws-text").textContent = "Draws of codes that explain the measurement, by Hamiltonian Monte Carlo.";
  }

  async function begin() {
    losses = [];
    const {errors, tensors: [pictures]} = await lab.ask("begin_search", {starts: STARTS, seed});
    showStarts(pictures.data, errors);
    plotLosses();
  }

  const measure = latest(async () => {
    stop();
    byId("noise-text").textContent = Number(noise.value).toFixed(2);
    noise.setAttribute("aria-valuetext", `standard deviation ${Number(noise.value).toFixed(2)}`);
    byId("which").textContent = mine ? "your digit" : `no. ${index + 1}, a ${images.labels[index]}`;
    await inTurn(async () => {
      forgetDraws();
      const found = await lab.ask("measure", {model: model.name, latent: model.latent, noise: Number(noise.value),
        hidden: hidden.value, seed: 100 + index}, [tensor([1, SIDE, SIDE, 1], clean())]);
      const covered = COVERS[hidden.value];
      drawPixels(answers[0].canvas, clean());
      drawPixels(answers[1].canvas, found.tensors[0].data, {covered});
      drawPixels(answers[2].canvas, found.tensors[1].data);
      answers[1].say(covered ? "half hidden" : mse(found.noisy_mse));
      answers[2].say(mse(found.mse));
      text.textContent = `Loss: squared error + β z², with β ${found.beta.toPrecision(2)}, which is Bayes’ rule here.`;
      await begin();
    });
  });

  async function steps(n) {
    const found = await lab.ask("search_on", {steps: n});
    losses.push(...found.losses);
    showStarts(found.tensors[0].data, found.errors);
    plotLosses();
  }

  function setRunning(search) {
    running = search;
    byId("search").textContent = search ? "Pause" : "Search";
    byId("search").setAttribute("aria-pressed", !!search);
  }
  const stop = () => setRunning(null);

  async function search() {
    if (running) return stop();
    const own = {};
    setRunning(own);
    if (losses.length >= MOST_STEPS) await inTurn(begin);
    while (running === own && losses.length < MOST_STEPS) {
      await inTurn(() => running === own && steps(Math.min(STEPS_A_FRAME, MOST_STEPS - losses.length)));
      await nextFrame();
    }
    if (running === own) stop();
  }

  async function draw() {
    stop();
    const then = ++drawn, bar = byId("drawn"), say = message => { byId("draws-text").textContent = message; };
    byId("draw").disabled = true;
    bar.hidden = false;
    bar.value = 0;
    say("Drawing…");
    let found = await inTurn(() => then === drawn && lab.ask("begin_draws", {seed: ++seed}));
    while (found && !found.done) {
      found = await inTurn(() => then === drawn && lab.ask("draw_on", {ms: DRAW_MS}));
      if (found) bar.value = found.share;
      await nextFrame();
    }
    if (!found || then !== drawn) return;
    bar.hidden = true;
    byId("draw").disabled = false;
    const [mean, std, some] = found.tensors, top = Math.max(...std.data);
    const shots = [shot("Mean", mse(found.mse)), shot("Spread", `to ${top.toFixed(2)}`)];
    drawPixels(shots[0].canvas, mean.data);
    drawPixels(shots[1].canvas, std.data, {low: 0, high: top});
    for (let k = 0; k < some.shape[0]; k++) {
      const s = shot(`Draw ${k + 1}`);
      drawPixels(s.canvas, some.data, {index: k});
      shots.push(s);
    }
    byId("draws").replaceChildren(...shots.map(s => s.figure));
    say(found.rhat < 1.1 ? `Four chains, 320 draws. They agree: R-hat ${found.rhat.toFixed(2)}.`
      : `Four chains, 320 draws. They have not met yet: R-hat ${found.rhat.toFixed(2)}, so there are several explanations.`);
  }

  const choose = to => {
    mine = null;
    index = (to + images.labels.length) % images.labels.length;
    measure();
  };
  byId("before").onclick = () => choose(index - 1);
  byId("after").onclick = () => choose(index + 1);
  byId("mine").onclick = () => {
    mine = own();
    if (mine) measure();
    else text.textContent = "Draw a digit in chapter 2 first.";
  };
  noise.oninput = hidden.oninput = () => measure();
  byId("search").onclick = search;
  byId("step").onclick = () => {
    stop();
    inTurn(() => steps(1));
  };
  byId("again").onclick = () => {
    stop();
    seed++;
    inTurn(begin);
  };
  byId("draw").onclick = draw;
  let opened = false;
  return {
    async open() {
      if (opened) return;
      opened = true;
      await measure();
      await search();
    },
  };
}
