// Chapter 1: the autoencoder's plane beside the VAE's.

class Map2 {
  constructor(lab, card, name) {
    this.lab = lab;
    this.name = name;
    this.picture = pixelsCanvas("Decoded picture");
    this.code = el("dd", {}, "–");
    this.reads = el("dd", {}, "–");
    this.mse = el("dd", {}, "–");
    card.append(el("div", {className: "answer"}, this.picture, el("dl", {},
      el("dt", {}, "code"), this.code, el("dt", {}, "reads as"), this.reads, el("dt", {}, "nearest"), this.mse)));
    this.plane = new Plane(card, card.querySelector("h3").textContent
      + ", latent plane. Arrow keys move the code, with Shift further.", (x, y, heard) => this.to(x, y, heard),
      path => this.play(path));
    this.trace = el("button", {"aria-pressed": "false", onclick: () => this.toggle()}, "Draw a path");
    this.player = el("button", {onclick: () => this.film ? this.film.stop() : this.play()}, "Play 0 to 9");
    this.strip = el("div", {className: "strip", role: "img", "aria-label": "Pictures along the path"});
    this.strip.hidden = true;
    this.hint = el("p", {className: "hint", role: "status"});
    card.append(el("div", {className: "bar"}, this.trace, this.player), this.hint, this.strip);
    this.to = latest(async (x, y, heard) => {
      const {tensors: [pictures, read]} = await lab.ask("decode", {model: this.name, codes: [[x, y]]});
      this.show([x, y], pictures.data, 0, read.data);
      if (heard) measured("move", heard);
    });
  }

  // The codes of another model; the place stays.
  async load(name, labels) {
    this.name = name;
    this.labels = labels;
    const {tensors: [codes]} = await this.lab.ask("codes", {model: name});
    if (name !== this.name) return;
    this.codes = codes.data;
    this.plane.show(codes.data, labels, false);
    await this.to(...this.plane.at);
  }

  show(point, pictures, index, read) {
    drawPixels(this.picture, pictures, {index});
    const p = read.subarray(10 * index, 10 * index + 10), best = p.indexOf(Math.max(...p));
    this.code.title = point.join(" ");
    this.code.textContent = `(${short(point[0])}, ${short(point[1])})`;
    this.reads.textContent = `${best}, ${percent(p[best])}`;
    let least = Infinity, nearest = 0;
    for (let i = 0; i < this.labels.length; i++) {
      const d = Math.hypot(this.codes[2 * i] - point[0], this.codes[2 * i + 1] - point[1]);
      if (d < least) [least, nearest] = [d, i];
    }
    this.mse.textContent = `a ${this.labels[nearest]}, ${short(least)} away`;
    this.picture.setAttribute("aria-label", `Decoded picture, reads as ${best}`);
  }

  toggle() {
    const on = this.plane.drawing = !this.plane.drawing;
    this.trace.setAttribute("aria-pressed", on);
    if (on) this.plane.path = [];
    this.plane.mark();
    this.hint.textContent = on ? "Drag over the plane; with keys, arrows trace and Enter plays." : "";
    this.player.textContent = this.plane.path.length > 1 ? "Play the path" : "Play 0 to 9";
    if (on) this.plane.surface.focus({preventScroll: true});
  }

  // A path, else a tour through the classes.
  async play(path = this.plane.path) {
    if (path.length < 2) {
      path = this.plane.groups.filter(g => g.x.length).map(g => [median(g.x), median(g.y)]);
    }
    const points = evenly(path, FRAMES);
    const {tensors: [pictures, read]} = await this.lab.ask("decode", {model: this.name, codes: points});
    if (this.film) this.film.stop();
    showStrip(this.strip, pictures.data, points.length);
    this.player.textContent = "Stop";
    this.film = new Film(points, pictures.data, read.data, (point, ...frame) => {
      this.plane.at = point;
      this.plane.mark();
      this.show(point, ...frame);
    }, () => {
      this.film = null;
      this.player.textContent = this.plane.path.length > 1 ? "Play the path" : "Play 0 to 9";
    });
  }
}

function planesChapter(lab, models) {
  const planes = models.filter(m => m.kind === "vae" && m.latent === 2), slider = byId("beta"), out = byId("beta-text");
  const left = new Map2(lab, byId("map-ae"), "autoencoder"), right = new Map2(lab, byId("map-vae"), planes[0].name);
  slider.max = planes.length - 1;
  byId("betas").append(...planes.map((m, i) => el("option", {value: i, label: m.beta})));
  const usual = planes.findIndex(m => m.beta === 0.01);
  slider.value = usual < 0 ? 0 : usual;
  const describe = m => `${m.beta}` + (m.epochs ? ` · ${m.epochs} epochs` : "");
  const choose = latest(async labels => {
    const model = planes[slider.value];
    out.textContent = describe(model);
    slider.setAttribute("aria-valuetext", `beta ${describe(model)}`);
    await right.load(model.name, labels);
  });
  return {
    // The first picture, before the dots are there.
    async first() {
      const {tensors: [pictures]} = await lab.ask("decode", {model: planes[slider.value].name, codes: [[0, 0]]});
      drawPixels(right.picture, pictures.data);
      performance.mark("first picture");
    },
    async open(labels) {
      slider.oninput = () => choose(labels);
      left.plane.at = [1, 1];
      await choose(labels);
      await left.load("autoencoder", labels);
    },
  };
}
