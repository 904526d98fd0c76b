// Searches INDEX, a list of [name, address, sentence, words], as one types. "/" leads to the field, arrows to what is found.
(function () {
  const field = document.getElementById("search");
  const found = document.getElementById("found");
  const MOST = 30;

  // The less, the better; -1 where a word is nowhere.
  function rank(entry, words) {
    const name = entry[0].toLowerCase();
    const last = name.split(/[.:]/).pop();
    let sum = 0;
    for (const word of words) {
      if (last === word || name === word) sum += 0;
      else if (last.startsWith(word)) sum += 1;
      else if (name.includes(word)) sum += 2;
      else if (entry[2].toLowerCase().includes(word)) sum += 4;
      else if (entry[3].includes(word)) sum += 6;
      else return -1;
    }
    return sum;
  }

  function search(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length === 0) return [];
    return INDEX.map((entry, place) => ({ entry, place, rank: rank(entry, words) }))
      .filter((hit) => hit.rank >= 0)
      .sort((a, b) => a.rank - b.rank || a.entry[0].length - b.entry[0].length || a.place - b.place)
      .slice(0, MOST)
      .map((hit) => hit.entry);
  }

  function show() {
    const hits = search(field.value);
    found.replaceChildren();
    for (const entry of hits) {
      const link = document.createElement("a");
      link.href = entry[1];
      link.textContent = entry[0];
      const item = document.createElement("li");
      item.append(link, " ", entry[2]);
      found.append(item);
    }
    if (hits.length === 0 && field.value.trim()) {
      const item = document.createElement("li");
      item.append("nothing found");
      found.append(item);
    }
  }

  // The arrows go from the field down the links and back.
  function go(step) {
    const places = [field, ...found.querySelectorAll("a")];
    const next = places[places.indexOf(document.activeElement) + step];
    if (next) next.focus();
  }

  field.addEventListener("input", show);
  field.addEventListener("keydown", (event) => {
    const first = found.querySelector("a");
    if (event.key === "Enter" && first) first.click();
    if (event.key === "Escape") { field.value = ""; show(); }
  });
  for (const element of [field, found]) {
    element.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) { event.preventDefault(); go(step); }
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== field) { event.preventDefault(); field.focus(); }
  });
  show();
})();
