// What Lua prints, as elements: text, and figures among its lines, which come as JSON between two marks.

const FIGURE = "\u001b]figure;", FIGURE_END = "\u0007";

class Printed {
  // `added(element)` takes what is new.
  constructor(added) {
    this.added = added;
    this.rest = "";
    this.line = null;
  }

  // What is printed from now on stands by itself.
  begin() {
    this.rest = "";
    this.line = null;
  }

  text(text) {
    if (!this.line) this.added(this.line = el("pre"));
    this.line.append(text);
  }

  figure(table) {
    this.line = null;
    const box = el("div", {className: "figure", role: "figure", "aria-label": `${table.kind}: ${table.title || "figure"}`});
    this.added(box);
    if (table.file) box.append(el("div", {className: "from"}, table.file));
    drawFigure(box, table);
  }

  // The end of a figure may come later than its beginning.
  hear(text) {
    this.rest += text;
    for (;;) {
      const at = this.rest.indexOf(FIGURE);
      if (at !== 0) {
        if (this.rest) this.text(at < 0 ? this.rest : this.rest.slice(0, at));
        this.rest = at < 0 ? "" : this.rest.slice(at);
        if (at < 0) return;
      }
      const end = this.rest.indexOf(FIGURE_END);
      if (end < 0) return;
      const table = JSON.parse(this.rest.slice(FIGURE.length, end));
      this.rest = this.rest.slice(end + 1);
      this.figure(table);
    }
  }
}
