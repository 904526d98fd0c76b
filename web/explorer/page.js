// The page itself: chapters as tabs, colours, and the beginning.

const CHAPTERS = ["plane", "digit", "restore", "prompt"];

function startColours() {
  const dark = matchMedia("(prefers-color-scheme: dark)"), button = byId("theme");
  const set = theme => {
    setColours(theme);
    button.setAttribute("aria-label", theme === "dark" ? "Light colours" : "Dark colours");
  };
  set(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => set(dark.matches ? "dark" : "light"));
  button.onclick = () => set(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
}

// The chapter whose name the address ends with, #/digit; the slash keeps the browser from scrolling there.
const named = () => CHAPTERS.find(name => location.hash === "#/" + name) || CHAPTERS[0];

function showChapter(name, opened) {
  for (const chapter of CHAPTERS) {
    const tab = byId("tab-" + chapter), on = chapter === name;
    tab.setAttribute("aria-selected", on);
    tab.tabIndex = on ? 0 : -1;
    byId(chapter).hidden = !on;
  }
  scrollTo(0, 0);
  if (opened[name]) opened[name]();
}

function startTabs(opened) {
  const to = name => {
    if (named() === name) showChapter(name, opened);
    else location.hash = "/" + name;
  };
  addEventListener("hashchange", () => showChapter(named(), opened));
  for (const [i, chapter] of CHAPTERS.entries()) {
    const tab = byId("tab-" + chapter);
    tab.onclick = () => to(chapter);
    tab.onkeydown = event => {
      const by = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      const at = by ? (i + by + CHAPTERS.length) % CHAPTERS.length : {Home: 0, End: CHAPTERS.length - 1}[event.key];
      if (at === undefined) return;
      event.preventDefault();
      byId("tab-" + CHAPTERS[at]).focus();
      to(CHAPTERS[at]);
    };
  }
  showChapter(named(), opened);
}

async function startPage() {
  startColours();
  const {models} = JSON.parse(byId("page-data").textContent), opened = {};
  startTabs(opened);
  const lab = new Lab("lab");
  const planes = planesChapter(lab, models);
  await planes.first();
  const {labels, tensors: [pictures]} = await lab.ask("images"), images = {labels, data: pictures.data};
  const digit = digitChapter(lab, models, images);
  const restore = restoreChapter(lab, models, images, digit.current), prompt = promptChapter();
  Object.assign(opened, {digit: digit.open, restore: restore.open, prompt: prompt.open});
  byId("status").hidden = true;
  await planes.open(labels);
  performance.mark("ready");
  if (opened[named()]) await opened[named()]();
}

// What no chapter has caught.
addEventListener("unhandledrejection", event => {
  const status = byId("status");
  status.hidden = false;
  status.className = "wrong";
  status.textContent = `Something went wrong: ${event.reason && event.reason.message || event.reason}`;
});
startPage();
