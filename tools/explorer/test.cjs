// Uses the page as a reader does, in Debian's browsers: every control with a pointer and with keys, at 1280 and 390
// pixels of width. `make explorer-test` calls it: test.cjs PAGE FOLDER DOCS, where puppeteer-core lies in FOLDER,
// pictures (*.png) and what the page showed (seen.json, for compare.lua) go there, and the reference is in DOCS.
"use strict";
const fs = require("fs"), path = require("path"), url = require("url");

const [file, folder, docs] = process.argv.slice(2).map(name => path.resolve(name));
const puppeteer = require(path.join(folder, "node_modules/puppeteer-core"));
const chapters = require("./chapters.cjs");

const BROWSERS = {chrome: "/usr/bin/chromium", firefox: "/usr/bin/firefox-esr"};
const FIRST_MS = 10000, MOVE_MS = 250; // far beyond what is wanted (1000, 16), as machines differ
const PATIENCE_MS = 300000, PATIENT = {timeout: PATIENCE_MS, protocolTimeout: PATIENCE_MS};
const median = list => [...list].sort((a, b) => a - b)[list.length >> 1];

// How many times as long all takes as it would, because other programs have the processors too.
function crowding() {
  const start = performance.now(), before = process.cpuUsage();
  let used;
  do {
    const {user, system} = process.cpuUsage(before);
    used = (user + system) / 1000;
  } while (used < 300);
  return Math.max(1, (performance.now() - start) / used);
}

let failed = 0;
const seen = [];

// What the chapters' tests have: the page, and ways to look at it.
class Reader {
  constructor(page, name, touch) {
    Object.assign(this, {page, name, touch});
  }

  check(fine, what) {
    if (fine) return;
    failed++;
    console.log(`FAILED ${this.name}: ${what}`);
  }

  text(selector) { return this.page.$eval(selector, e => e.value || e.textContent); }

  // Waits until a function of the page is true; false where it does not come true. Asked from here: not every Firefox
  // of Debian's can wait by itself.
  async until(f, what, ...args) {
    const till = Date.now() + PATIENCE_MS;
    let fine = false;
    while (!(fine = Boolean(await this.page.evaluate(f, ...args))) && Date.now() < till) await this.rest(30);
    this.check(fine, what);
    return fine;
  }

  async changes(selector, act, what) {
    const before = await this.text(selector);
    await act();
    await this.until((s, b) => { const e = document.querySelector(s); return (e.value || e.textContent) !== b; }, what,
      selector, before);
  }

  // Grey values, 0 to 255, of a canvas of 32 by 32.
  pixels(selector) {
    return this.page.$eval(selector, canvas => {
      const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return Array.from({length: data.length / 4}, (_, i) => data[4 * i]);
    });
  }

  note(entry) { seen.push({page: this.name, ...entry}); }

  async focus(selector) {
    await this.page.focus(selector);
    this.check(await this.page.$eval(selector, e => e === document.activeElement), `${selector} takes the focus`);
  }

  async keys(...names) {
    for (const name of names) await this.page.keyboard.press(name === "Space" ? " " : name);
  }

  // A pointer or a finger along points, shares of an element's sides.
  async drag(selector, points) {
    const box = await this.page.$eval(selector, e => {
      e.scrollIntoView({block: "center", behavior: "instant"});
      const {x, y, width, height} = e.getBoundingClientRect();
      return {x, y, width, height};
    });
    const places = points.map(([x, y]) => [box.x + x * box.width, box.y + y * box.height]);
    const {touchscreen, mouse} = this.page;
    if (this.touch) await touchscreen.touchStart(...places[0]);
    else {
      await mouse.move(...places[0]);
      await mouse.down();
    }
    for (const place of places.slice(1)) await (this.touch ? touchscreen.touchMove(...place) : mouse.move(...place));
    if (!this.touch) return mouse.up();
    await this.rest(120); // a finger that is lifted while it moves flings, and the next tap only ends that
    await touchscreen.touchMove(places.at(-1)[0] + 1, places.at(-1)[1]);
    await this.rest(60);
    await touchscreen.touchEnd();
    await this.rest(100);
  }

  rest(ms) { return new Promise(resolve => setTimeout(resolve, ms)); }

  async press(selector) {
    const element = await this.page.$(selector);
    await element.evaluate(e => e.scrollIntoView({block: "center", behavior: "instant"}));
    await (this.touch ? element.tap() : element.click());
  }

  async open(chapter) {
    await this.press(`#tab-${chapter}`);
    await this.until(c => !document.getElementById(c).hidden, `chapter ${chapter} opens`, chapter);
  }

  async picture(chapter) {
    await this.page.evaluate(() => scrollTo(0, 0));
    await this.page.screenshot({path: path.join(folder, `${this.name}-${chapter}.png`), fullPage: true});
  }
}

// `width` in pixels; null where the window has it already.
async function begin(browser, name, width, dark) {
  const page = await browser.newPage(), touch = width !== null && width < 500;
  page.setDefaultTimeout(PATIENCE_MS);
  const problems = [], requests = [];
  page.on("console", m => {
    const mine = /willReadFrequently/.test(m.text()); // of the test's own looking at pixels
    if (["error", "warn", "warning"].includes(m.type()) && !mine) problems.push(m.text());
  });
  page.on("pageerror", error => problems.push(String(error && error.stack || error)));
  page.on("request", request => { if (!/^(file|blob|data):/.test(request.url())) requests.push(request.url()); });
  if (width) await page.setViewport({width, height: touch ? 844 : 900, deviceScaleFactor: touch ? 2 : 1, hasTouch: touch, isMobile: touch});
  if (dark) await page.emulateMediaFeatures([{name: "prefers-color-scheme", value: "dark"}]);
  await page.goto(url.pathToFileURL(file).href);
  const reader = new Reader(page, name, touch);
  await reader.until(() => performance.getEntriesByName("ready").length > 0, "the page becomes ready");
  const first = await page.evaluate(() => performance.getEntriesByName("first picture")[0].startTime);
  const slower = crowding();
  reader.check(first < FIRST_MS * slower, `the first picture came after ${first} ms, on a machine ${slower} times slower`);
  return {reader, problems, requests, first};
}

async function end({reader, problems, requests, first}) {
  const {page} = reader;
  const moves = await page.evaluate(() => performance.getEntriesByName("move").map(e => e.duration));
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  reader.check(wide <= 0, `the page is ${wide} pixels wider than the window`);
  reader.check(problems.length === 0, `console: ${problems.join("; ")}`);
  reader.check(requests.length === 0, `requests: ${requests.join(" ")}`);
  reader.check(moves.length > 10 && median(moves) < MOVE_MS * crowding(), `${moves.length} moves, median ${median(moves)} ms`);
  console.log(`${reader.name}: first picture ${first.toFixed(0)} ms, a move ${median(moves).toFixed(1)} ms (median of ${moves.length})`);
  await page.close();
}

// The pieces of README's tour run on its page in the reference.
async function reference(browser) {
  const page = await browser.newPage(), reader = new Reader(page, "reference", false);
  page.setDefaultTimeout(PATIENCE_MS);
  await page.setViewport({width: 1280, height: 900});
  await page.goto(url.pathToFileURL(path.join(docs, "README.html")).href);
  const buttons = await page.$$("button.run");
  reader.check(buttons.length >= 7, `${buttons.length} pieces can be run`);
  for (const button of buttons) {
    await button.evaluate(e => e.scrollIntoView({block: "center"}));
    await button.click();
    await page.waitForFunction(e => !e.disabled && e.nextElementSibling.childNodes.length > 0
      && !/^Fetching/.test(e.nextElementSibling.textContent), {timeout: PATIENCE_MS}, button);
  }
  const outputs = await page.$$eval(".output", list => list.map(e => e.textContent));
  reader.check(/\[10, 14\]/.test(outputs[0]), `the first prints ${outputs[0]}`);
  reader.check(await page.$$eval(".output .figure canvas", list => list.length) >= 20, "a figure is drawn");
  const wrong = await page.$$eval(".output .wrong", list => list.map(e => e.textContent));
  reader.check(wrong.length === 0, `pieces fail: ${wrong.join("; ")}`);
  await page.screenshot({path: path.join(folder, "reference.png"), fullPage: true});
  await page.close();
}

async function main() {
  const browser = await puppeteer.launch({...PATIENT, browser: "chrome", executablePath: BROWSERS.chrome, args: ["--no-sandbox"]});
  for (const [name, width, dark] of [["wide", 1280, false], ["phone", 390, true]]) {
    const session = await begin(browser, name, width, dark);
    for (const [chapter, use] of Object.entries(chapters)) {
      await use(session.reader);
      await session.reader.picture(chapter);
    }
    await end(session);
  }
  await reference(browser);
  await browser.close();
  // Firefox: the same page, its chapters once with a pointer. Its window has the size, for Debian has versions of it
  // that cannot be told one later.
  const firefox = await puppeteer.launch({...PATIENT, browser: "firefox", executablePath: BROWSERS.firefox, defaultViewport: null,
    args: ["--width=1280", "--height=900"]});
  const session = await begin(firefox, "firefox", null, false);
  for (const [chapter, use] of Object.entries(chapters)) {
    await use(session.reader);
    await session.reader.picture(chapter);
  }
  await end(session);
  await firefox.close();
  fs.writeFileSync(path.join(folder, "seen.json"), JSON.stringify(seen));
  if (failed) process.exitCode = 1;
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
