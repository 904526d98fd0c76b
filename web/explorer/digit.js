// Chapter 2: a digit of the reader's own, and what each model makes of it.

function digitChapter(lab, models, images) {
  const shown = models.filter(m => m.kind !== "classifier").filter((m, i, all) => m.kind !== "vae" || m.latent !== 2
    || m === (all.find(o => o.latent === 2 && o.kind === "vae" && o.beta === 0.01) || all.find(o => o.kind === "vae")));
  const names = shown.map(m => m.name), flat = shown.find(m => m.kind === "vae" && m.latent === 2);
  const title = m => m.kind === "autoencoder" ? "Autoencoder, 2 numbers" : `VAE, ${m.latent} numbers, β ${m.beta}`;
  let current = null;

  const rows = byId("bars");
  const bars = COLOURS.map((colour, k) => {
    const fill = el("b"), text = el("span", {}, "–"), row = el("li", {}, String(k), el("i", {}, fill), text);
    fill.style.setProperty("--bar", colour);
    fill.style.transform = "scaleX(0)";
    rows.append(row);
    return {fill, text, row};
  });
  const cards = shown.map(m => {
    const picture = pixelsCanvas("Reconstruction"), code = el("p", {className: "code"}, "–"), near = el("ol", {className: "near"});
    const about = el("p", {className: "hint"}, m.kind === "vae" ? "code: mean ± deviation" : "code");
    const row = el("div", {className: "row"}, picture, el("div", {}, about)), long = m.latent > 6;
    if (long) about.append(". Where it is 0 ± 1, as the prior has it, the number says nothing of this digit.");
    else row.lastElementChild.append(code);
    byId("models").append(el("article", {className: "card"}, el("header", {}, el("h3", {}, title(m))), row,
      ...(long ? [code] : []), el("h4", {}, "Nearest test images, by their codes"), near));
    return {picture, code, near};
  });
  const own = new Plane(byId("map-own"), "Place of your digit in the plane of the VAE");

  const codes = {};
  const codesOf = async name => codes[name] ||= (await lab.ask("codes", {model: name})).tensors[0];

  function showNear(place, all, mean) {
    const d = mean.length, far = images.labels.map((label, i) => {
      let sum = 0;
      for (let k = 0; k < d; k++) sum += (all[d * i + k] - mean[k]) ** 2;
      return [sum, i];
    }).sort((a, b) => a[0] - b[0]).slice(0, 5);
    place.replaceChildren(...far.map(([, i]) => {
      const canvas = pixelsCanvas(`A test image of a ${images.labels[i]}`);
      drawPixels(canvas, images.data, {index: i});
      return el("li", {}, canvas, String(images.labels[i]));
    }));
  }

  // As before the first digit.
  function forget() {
    current = null;
    clearPixels(byId("seen"));
    for (const {fill, text, row} of bars) {
      fill.style.transform = "scaleX(0)";
      text.textContent = "–";
      row.classList.remove("best");
    }
    for (const {picture, code, near} of cards) {
      clearPixels(picture);
      code.textContent = "–";
      near.replaceChildren();
    }
    own.at = own.spread = null;
    own.mark();
  }

  const look = latest(async image => {
    if (!image) return forget();
    const {tensors} = await lab.ask("digit", {models: names}, [image]);
    const [seen] = tensors.splice(0, 1), p = tensors.pop().data;
    drawPixels(byId("seen"), seen.data);
    current = seen.data;
    const best = p.indexOf(Math.max(...p));
    bars.forEach(({fill, text, row}, k) => {
      fill.style.transform = `scaleX(${p[k]})`;
      text.textContent = percent(p[k]);
      row.classList.toggle("best", k === best);
    });
    for (const [i, m] of shown.entries()) {
      const [mean, spread, picture] = tensors.slice(3 * i, 3 * i + 3), {code, near} = cards[i];
      drawPixels(cards[i].picture, picture.data);
      code.replaceChildren(...[...mean.data].map((v, k) => el("span", {}, short(v)
        + (m.kind === "vae" ? " ± " + short(spread.data[k]) : ""))));
      showNear(near, (await codesOf(m.name)).data, mean.data);
      if (m !== flat) continue;
      own.at = [...mean.data];
      own.spread = [...spread.data];
      own.mark();
    }
  });

  const pad = new Pad(byId("pad"), image => look(image && tensor([28, 28], image)), text => { byId("pen").textContent = text; });
  byId("undo").onclick = () => pad.undo();
  byId("clear").onclick = () => pad.clear();
  // An image that comes when something else is on the pad already is too late.
  const put = async index => {
    const {version} = pad, {tensors: [image]} = await lab.ask("original", {index});
    if (pad.version === version) pad.put(image.data);
  };
  byId("borrow").onclick = () => put(1 + Math.floor(Math.random() * images.labels.length));
  let opened = false;
  return {
    current: () => current,
    async open() {
      if (opened) return;
      opened = true;
      own.show((await codesOf(flat.name)).data, images.labels);
      if (!pad.strokes.length) await put(4);
    },
  };
}
