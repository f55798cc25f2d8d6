// The page of `edgerec demo`. It shows two feeds, reports what the user does with each card, and moves unseen cards when
// an answer has a new order. A card that the user has seen never moves.
"use strict";

const SEEN = 0.5; // A card counts as seen while at least half of it is in view.
const LONG_PRESS_MS = 550;
const MOVE_MS = 420;
const NEXT = 24; // Cards of the strip "Next".
const ENOUGH = 20; // Re-ranks from which on their p99 is shown.
const NOTICE_MS = 12000;
const KEY = "edgerec-demo-session";
const SVG = "http://www.w3.org/2000/svg";

// One picture for each category, in the order of edgerec/demo/names.py: outlines in a square of 48.
const PICTURES = [
  "M6 31V19c4 3 8 2 11-2l12 10c4 2 8 2 11 4 2 1 3 2 3 5v1H6zM6 31h22M21 21l-3 3M25 24l-3 3",
  "M10 18h28l3 22H7zM17 22v-7a7 7 0 0 1 14 0v7",
  "M17 8h14l7 16H10zM24 24v15M15 40h18M31 24v6",
  "M24 14a10 10 0 1 0 .01 0zM18 15l2-9h8l2 9M18 33l2 9h8l2-9M24 19v5l4 2",
  "M10 13h22v22a5 5 0 0 1-5 5H15a5 5 0 0 1-5-5zM32 19h4a5 5 0 0 1 0 13h-4M16 8v-2M21 8V5M26 8v-2",
  "M9 31v-6a15 15 0 0 1 30 0v6M9 29h6v12h-4a2 2 0 0 1-2-2zM39 29h-6v12h4a2 2 0 0 0 2-2z",
  "M15 30h18l-2 12H17zM24 30V15M24 23c-8 0-11-5-12-12 8 0 12 5 12 12M24 18c0-6 4-10 12-11 0 7-5 11-12 11",
  "M17 8 6 14l4 9 5-2v20h18V21l5 2 4-9-11-6c-2 5-12 5-14 0z",
  "M6 15h9l3-5h12l3 5h9v24H6zM24 19a7 7 0 1 0 .01 0zM37 20h1",
  "M24 13c-4-4-11-4-17-3v28c6-1 13-1 17 3 4-4 11-4 17-3V10c-6-1-13-1-17 3zM24 13v28",
  "M14 7h20v20H14zM12 27h24v6H12zM15 33l-2 9M33 33l2 9M14 17h20",
  "M14 19a7 7 0 1 0 .01 0zM34 19a7 7 0 1 0 .01 0zM21 26a3 3 0 0 1 6 0M7 24l3-11M41 24l-3-11",
  "M24 8a16 16 0 1 0 .01 0zM8 24h32M24 8v32M13 13c6 6 6 16 0 22M35 13c-6 6-6 16 0 22",
  "M12 24a8 8 0 1 0 .01 0zM36 24a8 8 0 1 0 .01 0zM12 32l7-15h12l5 15M19 17l5 15H12M24 32l7-15M15 14h7M29 13h6",
  "M16 5h16a3 3 0 0 1 3 3v32a3 3 0 0 1-3 3H16a3 3 0 0 1-3-3V8a3 3 0 0 1 3-3zM21 37h6M13 11h22M13 33h22",
  "M24 4l14 15-14 16-14-16zM24 4v31M10 19h28M24 35c-5 4 5 5 0 10",
];

const TRIGGERS = {
  page: "A new page came from the cloud",
  click: "You came back from an item",
  delete: "You removed a card",
  exposures: "You saw 10 cards and opened none",
};

const ANOTHER_USER = "You are a new user now. The one before has ended: more than 8 tabs were open, another tab reset it, or the demo was started again.";

const cards = new Map();
const feeds = {};
const opened = []; // the feeds with an open item, the latest one last
let session = null;
let actions = [];

const byId = id => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");
const wide = matchMedia("(min-width: 900px)"); // As in demo.css: both buckets and the whole panel are shown.

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") element.textContent = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Return a box with the picture of a card in the colour of its category. */
function picture(card, name, attributes) {
  const box = make(name, attributes);
  box.style.setProperty("--hue", card.hue);
  if (card.picture === null) {
    box.textContent = (card.category || card.title).slice(0, 1).toUpperCase();
    return box;
  }
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 48 48");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PICTURES[card.picture % PICTURES.length]);
  svg.append(path);
  box.append(svg);
  return box;
}

/** Start or stop a clock, which has its seconds so far, and since when it runs. */
function run(clock, on) {
  const now = performance.now();
  if (clock.since !== null) clock.seconds += (now - clock.since) / 1000;
  clock.since = on ? now : null;
}

const facts = card => [card.category, card.brand].filter(Boolean).join(" · ");

function fault(text) {
  byId("fault").textContent = text;
  byId("fault").hidden = !text;
}

/** Say something that is no fault, for some seconds. */
function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
  clearTimeout(notice.timer);
  if (text) notice.timer = setTimeout(notice, NOTICE_MS, "");
}

/** The session of this tab. A browser that blocks the storage gets a new session at each reload. */
const kept = {
  read() {
    try { return sessionStorage.getItem(KEY); } catch { return null; }
  },
  write(value) {
    try { sessionStorage.setItem(KEY, value); } catch { /* The storage is blocked. */ }
  },
};

// Each open item has an entry in the browser's history, so that the browser's Back closes it.

const depth = () => history.state?.depth || 0; // Entries that this page added.
let going = false; // The browser goes to another entry, which takes a moment.

function keepEntries() {
  if (going) return;
  while (depth() < opened.length) history.pushState({ depth: depth() + 1 }, "");
  if (depth() > opened.length) {
    going = true;
    history.go(opened.length - depth());
  }
}

addEventListener("popstate", event => {
  if (!going) { // The user went back, maybe several entries at once. Close what is in view first.
    going = true; // While the items close, no entry is added.
    while (opened.length > depth()) (opened.findLast(feed => feed.box.clientHeight > 0) || opened.at(-1)).back(event);
  }
  going = false;
  keepEntries();
});

async function call(path, body) {
  const answer = await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    keepalive: true, // The last report of a page that is closed arrives, too.
  });
  const document = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(document.error), { status: answer.status, told: document.told });
  return document;
}

/** Move elements from where they were to where they are now. */
function animate(before, elements, bounds) {
  if (still.matches) return;
  for (const element of elements) {
    const now = element.getBoundingClientRect();
    const old = before.get(element);
    if (now.top > bounds.bottom + 40 && (!old || old.top > bounds.bottom + 40)) continue;
    if (!old) {
      element.animate([{ opacity: 0, transform: "scale(.92)" }, { opacity: 1, transform: "none" }], { duration: 240, easing: "ease-out" });
    } else if (old.left !== now.left || old.top !== now.top) {
      const far = Math.max(-bounds.height, Math.min(bounds.height, old.top - now.top));
      const from = `translate(${old.left - now.left}px, ${far}px)`;
      element.animate([{ transform: from, zIndex: 1 }, { transform: "none", zIndex: 1 }], { duration: MOVE_MS, easing: "cubic-bezier(.2,.8,.2,1)" });
    }
  }
}

/** One bucket: its cards, what is on the screen, and the events that wait for the server. */
class Feed {
  constructor(section) {
    this.bucket = section.dataset.bucket;
    this.box = section.querySelector(".feed");
    this.behind = section.querySelectorAll(".feed, .next"); // An open item covers them.
    this.list = section.querySelector(".cards");
    this.strip = section.querySelector(".next ol");
    this.sheet = section.querySelector(".sheet");
    this.elements = new Map(); // the element of each card, by item
    this.order = [];
    this.seen = new Set(); // cards that were in view: they never move
    this.visible = new Map(); // cards in view: their clocks, and how far and how long they were scrolled
    this.scroll = { active: false, last: 0, top: 0, timer: 0 };
    this.waiting = [];
    this.sending = false;
    this.sent = null; // ends when all events so far were sent
    this.rerank = 0;
    this.open = null; // the open item, with its clock
    this.tapped = null; // when the user came back from an item, until the new order is measured
    this.long = false;
    this.observer = new IntersectionObserver(entries => this.observed(entries), { root: this.box, threshold: SEEN });
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.list.addEventListener("contextmenu", event => event.preventDefault());
    this.sheet.addEventListener("keydown", event => { if (event.key === "Escape") this.back(event); });
  }

  clear() {
    this.observer.disconnect();
    this.elements.clear();
    this.list.replaceChildren();
    this.strip.replaceChildren();
    this.cover(false);
    this.order = [];
    this.seen.clear();
    this.visible.clear();
    this.waiting = [];
    this.closed();
    this.tapped = null;
    this.rerank = 0;
    this.box.scrollTop = 0;
  }

  // What is on the screen.

  observed(entries) {
    for (const { target, isIntersecting } of entries) {
      const item = target.dataset.item;
      if (isIntersecting && !this.visible.has(item)) {
        this.visible.set(item, { seconds: 0, since: null, distance: 0, moving: 0, gestures: this.scroll.active ? 1 : 0 });
        this.seen.add(item);
        this.report({ what: "shown", item });
      } else if (!isIntersecting && this.visible.has(item)) {
        this.leave(item, "exposed");
      }
    }
    this.clocks();
    this.drawNext();
  }

  /** Report that a card has left the screen, with what the user did meanwhile. */
  leave(item, what) {
    const one = this.visible.get(item) || { seconds: 0, since: null, distance: 0, moving: 0, gestures: 0 };
    run(one, false);
    this.visible.delete(item);
    const speed = one.moving > 0 ? Math.min(one.distance / one.moving, 1000) : 0;
    this.report({ what, item, seconds: Math.min(one.seconds, 86400), speed, scroll_seconds: one.moving, scrolls: one.gestures });
  }

  /** Let the clocks run of what the user looks at: the open item, or else the cards in view. */
  clocks() {
    const looks = !document.hidden && this.box.clientHeight > 0; // A phone shows one bucket at a time.
    for (const one of this.visible.values()) run(one, looks && this.open === null);
    if (this.open !== null) run(this.open, looks);
  }

  scrolled() {
    const now = performance.now();
    const { scroll } = this;
    const height = this.box.clientHeight;
    if (height === 0) return; // The other bucket is shown.
    const distance = Math.abs(this.box.scrollTop - scroll.top) / height; // In screens.
    const seconds = scroll.active ? (now - scroll.last) / 1000 : 0.016;
    for (const one of this.visible.values()) {
      one.distance += distance;
      one.moving += seconds;
      if (!scroll.active) one.gestures += 1;
    }
    Object.assign(scroll, { active: true, last: now, top: this.box.scrollTop });
    clearTimeout(scroll.timer);
    scroll.timer = setTimeout(() => { scroll.active = false; }, 120);
  }

  // Talking to the server.

  report(event) {
    this.waiting.push(event);
    if (!this.sending) this.sent = this.send();
  }

  async send() {
    this.sending = true;
    await Promise.resolve(); // What happens in the same moment goes together.
    while (this.waiting.length && session) {
      const events = this.waiting.splice(0, 100);
      const mine = session;
      try {
        const state = await call("/api/events", { session, bucket: this.bucket, events });
        if (mine !== session) break; // The session begins anew.
        fault("");
        state.cards.forEach(card => cards.set(card.id, card));
        if (!this.waiting.length) this.show(state); // Otherwise the next answer is newer.
      } catch (error) {
        if (mine !== session) break;
        if (error.status === 410) {
          setTimeout(start, 0, "/api/session");
          break;
        } else if (error.status === undefined || error.status === 503) {
          this.waiting.unshift(...events.slice(error.told ?? 0)); // The others are stored already.
          fault(error.status ? error.message : "The demo does not answer. Is it still running?");
          setTimeout(() => { this.sending = false; if (this.waiting.length) this.sent = this.send(); }, 2000);
          return;
        } else {
          if (error.told !== undefined) this.waiting.unshift(...events.slice(error.told + 1)); // Without the wrong one.
          fault(error.message);
        }
      }
    }
    this.sending = false;
  }

  /** Report all that ends with the page. Another call may still be open, and no answer can be awaited. */
  end() {
    this.sending = true; // Now `report` only collects.
    for (const item of [...this.visible.keys()]) this.leave(item, "exposed");
    if (this.open !== null) this.left();
    while (this.waiting.length && session) {
      call("/api/events", { session, bucket: this.bucket, events: this.waiting.splice(0, 100) }).catch(() => {});
    }
  }

  /** Show an order. Everything up to the last seen card stays where it is. */
  show(state) {
    if (state.order.some(item => !cards.has(item))) { // A copy of this tab has the same session.
      setTimeout(start, 0, "/api/session");
      return;
    }
    const known = new Set(state.order);
    let fixed = this.order.filter(item => known.has(item));
    while (fixed.length && !this.seen.has(fixed.at(-1))) fixed.pop();
    const prefix = new Set(fixed);
    const order = fixed.concat(state.order.filter(item => !prefix.has(item)));
    const anew = state.rerank && state.rerank.number !== this.rerank;
    const places = new Map(this.order.map((item, place) => [item, place]));
    const before = new Map();
    const focused = this.list.contains(document.activeElement) ? document.activeElement.closest(".card").dataset.item : null;
    if (order.some((item, place) => item !== this.order[place])) {
      for (const element of this.elements.values()) before.set(element, element.getBoundingClientRect());
      for (const [item, element] of this.elements) {
        if (!known.has(item)) {
          this.observer.unobserve(element);
          this.visible.delete(item);
          element.remove();
          this.elements.delete(item);
        }
      }
      const first = fixed.length;
      order.forEach((item, place) => {
        if (!this.elements.has(item)) this.add(item);
        const element = this.elements.get(item);
        if (place >= first && this.list.children[place] !== element) this.list.insertBefore(element, this.list.children[place] || null);
        const up = anew && places.has(item) && place >= first ? places.get(item) - place : 0;
        element.classList.toggle("up", up > 1);
        if (up > 1) element.dataset.up = `↑ ${up}`;
      });
      this.order = order;
      if (focused !== null && !this.list.contains(document.activeElement)) {
        this.focus(known.has(focused) ? focused : order[places.get(focused)]);
      }
      animate(before, this.elements.values(), this.box.getBoundingClientRect());
      this.drawNext();
    }
    if (anew) {
      this.rerank = state.rerank.number;
      drawPanel(state.rerank);
      if (state.rerank.trigger === "click") this.measure();
    }
  }

  /** Measure the time from the tap that ended a page-view to the frame in which the cards begin to move. */
  measure() {
    const tapped = this.tapped;
    this.tapped = null;
    if (tapped === null) return;
    requestAnimationFrame(() => setTimeout(() => {
      const time = performance.now() - tapped;
      performance.measure("tap to new order", { start: tapped, end: tapped + time });
      byId("screen").textContent = time.toFixed(0);
    }));
  }

  // Cards.

  add(item) {
    const card = cards.get(item);
    const text = make("span", { class: "text" },
      make("b", { text: card.title }), make("small", { text: facts(card) }), make("i", { text: card.price }));
    const open = make("button", { class: "open", type: "button" }, picture(card, "span", { class: "picture" }), text);
    const remove = make("button", { class: "remove", type: "button", "aria-label": `Remove ${card.title}`, title: "Not interested", text: "×" });
    const element = make("li", { class: "card", "data-item": item }, open, remove);
    element.style.setProperty("--hue", card.hue);
    let timer = 0;
    let from = [0, 0];
    const stop = () => clearTimeout(timer);
    open.addEventListener("pointerdown", ({ button, clientX, clientY }) => {
      this.long = false;
      from = [clientX, clientY];
      const top = this.box.scrollTop;
      clearTimeout(timer);
      if (button !== 0) return;
      timer = setTimeout(() => {
        if (this.box.scrollTop !== top) return;
        this.long = true; // The finger may end on the card that comes next. That is no tap.
        this.remove(item);
      }, LONG_PRESS_MS);
    });
    open.addEventListener("pointermove", ({ clientX, clientY }) => {
      if (Math.hypot(clientX - from[0], clientY - from[1]) > 8) stop();
    });
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) open.addEventListener(name, stop);
    open.addEventListener("click", ({ detail }) => {
      stop();
      if (!this.long || detail === 0) this.enter(item); // 0: the keyboard, and not the end of a press.
    });
    remove.addEventListener("click", () => this.remove(item));
    this.elements.set(item, element);
    this.list.append(element);
    this.observer.observe(element);
  }

  remove(item) {
    const element = this.elements.get(item);
    if (!element || element.dataset.removed) return;
    element.dataset.removed = "1";
    this.seen.add(item);
    this.observer.unobserve(element);
    element.animate([{ opacity: 1, transform: "none" }, { opacity: 0, transform: "scale(.85)" }], { duration: still.matches ? 0 : 180, fill: "forwards" });
    this.leave(item, "deleted");
  }

  /** Show or hide the sheet of an item. What it covers cannot be reached by the keyboard. */
  cover(covered) {
    this.sheet.hidden = !covered;
    for (const element of this.behind) element.inert = covered;
  }

  /** Let the keyboard go on at a card. */
  focus(item) {
    const element = this.elements.get(item);
    (element ? element.querySelector(".open") : this.box).focus({ preventScroll: true });
  }

  enter(item) {
    if (this.open !== null) return;
    const card = cards.get(item);
    this.open = { item, seconds: 0, since: null };
    opened.push(this);
    keepEntries();
    this.clocks();
    this.report({ what: "clicked", item });
    const about = make("div", { class: "about" }, make("h3", { text: card.title }), make("p", { text: facts(card) }), make("strong", { text: card.price }));
    const list = make("div", { class: "actions" });
    for (const { column, label } of actions) {
      const button = make("button", { type: "button", "aria-pressed": "false", "data-column": column, text: label });
      button.addEventListener("click", () => {
        if (button.getAttribute("aria-pressed") === "true") return;
        button.setAttribute("aria-pressed", "true");
        this.report({ what: "acted", item, column });
      });
      list.append(button);
    }
    const back = make("button", { class: "back", type: "button", text: "Back to the feed" });
    back.addEventListener("click", event => this.back(event));
    this.sheet.replaceChildren(picture(card, "div", { class: "picture" }), about, list, back);
    this.sheet.setAttribute("aria-label", card.title);
    this.cover(true);
    if (!still.matches) this.sheet.animate([{ transform: "translateY(24px)", opacity: 0 }, { transform: "none", opacity: 1 }], { duration: 160, easing: "ease-out" });
    back.focus({ preventScroll: true });
  }

  back(event) {
    if (this.open === null) return;
    const { item } = this.open;
    this.tapped = event.timeStamp;
    this.left();
    keepEntries();
    this.cover(false);
    this.clocks();
    this.focus(item);
  }

  /** Note that no item is open any more. */
  closed() {
    this.open = null;
    if (opened.includes(this)) opened.splice(opened.indexOf(this), 1);
  }

  /** Report that the page-view has ended. */
  left() {
    const { open } = this;
    run(open, false);
    this.closed();
    this.report({ what: "left", item: open.item, seconds: Math.min(open.seconds, 86400) });
  }

  /** The strip with the pictures of the next cards that the user has not seen. */
  drawNext() {
    const before = new Map();
    for (const chip of this.strip.children) before.set(chip, chip.getBoundingClientRect());
    const chips = new Map([...this.strip.children].map(chip => [chip.dataset.item, chip]));
    const last = this.order.findLastIndex(item => this.seen.has(item));
    const next = this.order.slice(last + 1, last + 1 + NEXT);
    this.strip.replaceChildren(...next.map(item => chips.get(item) || picture(cards.get(item), "li", { "data-item": item, title: cards.get(item).title })));
    if (before.size) animate(before, this.strip.children, this.strip.getBoundingClientRect());
  }
}

// The panel.

function drawPanel(rerank) {
  const ms = value => value.toFixed(value < 10 ? 1 : 0);
  byId("why").textContent = TRIGGERS[rerank.trigger] || rerank.trigger;
  const p99 = rerank.number < ENOUGH ? "–" : ms(rerank.p99);
  byId("brief").textContent = `${rerank.moved} of ${rerank.candidates} cards moved · ${ms(rerank.ms)} ms, p50 ${ms(rerank.p50)}`;
  for (const name of ["ms", "p50"]) byId(name).textContent = ms(rerank[name]);
  byId("p99").textContent = p99;
  byId("moved").textContent = rerank.moved;
  byId("of").textContent = `of ${rerank.candidates}`;
  byId("count").textContent = rerank.number;
  clearTimeout(drawPanel.timer);
  drawPanel.timer = setTimeout(() => { drawPanel.looked = drawLooked(); }, MOVE_MS); // The feed moves first.
}

async function drawLooked() {
  let found;
  try {
    found = await call("/api/looked-at", { session });
  } catch {
    return; // The feed says that the demo does not answer.
  }
  if (found.number < feeds.B.rerank || !found.kinds.length) return; // A newer re-rank is drawn soon.
  const parts = [];
  for (const { kind, count, behaviours } of found.kinds) {
    const what = kind === "page_view" ? "Items that you opened" : "Cards that you saw";
    parts.push(make("p", { class: "kind", text: count > behaviours.length ? `${what}: the first ${behaviours.length} of ${count}` : what }));
    for (const { card, words, share } of behaviours) {
      const bar = make("span");
      bar.style.width = `${Math.max(share * 100, 1)}%`;
      parts.push(make("div", { class: "seen" },
        picture(card, "span", { class: "chip" }),
        make("span", { class: "who", text: card.title }, make("small", { text: words })),
        make("span", { class: "share", text: `${(share * 100).toFixed(0)} %` }),
        make("span", { class: "bar" }, bar)));
    }
  }
  byId("looked").replaceChildren(...parts);
}

// The session.

function begin(document_) {
  session = document_.session;
  actions = document_.actions;
  kept.write(session);
  for (const [name, state] of Object.entries(document_.buckets)) {
    feeds[name].clear();
    state.cards.forEach(card => cards.set(card.id, card));
    feeds[name].show(state);
  }
  document.body.dataset.ready = session;
}

let starting = false; // Both feeds may find at the same time that the session has ended.

async function start(path) {
  if (starting) return;
  starting = true;
  try {
    const before = session || kept.read();
    session = null; // No call begins with it any more. Those that are open end first.
    clearTimeout(drawPanel.timer);
    await Promise.allSettled([drawPanel.looked, ...Object.values(feeds).map(feed => feed.sent)]);
    begin(await call(path, { session: before }));
    fault("");
    const anew = before !== null && session !== before;
    if (anew) {
      byId("screen").textContent = "–";
      byId("looked").replaceChildren(make("p", { class: "hint", text: "A new user. Open an item, look at it, and come back." }));
    }
    notice(anew && path === "/api/session" ? ANOTHER_USER : "");
    keepEntries();
  } catch (error) {
    fault(error.status === undefined ? "The demo does not answer. Is it still running?" : error.message);
  } finally {
    starting = false;
  }
}

for (const section of document.querySelectorAll(".phone")) feeds[section.dataset.bucket] = new Feed(section);
const clocks = () => { for (const feed of Object.values(feeds)) feed.clocks(); };
for (const tab of document.querySelectorAll("[data-tab]")) {
  tab.addEventListener("click", () => {
    document.body.dataset.bucket = tab.dataset.tab;
    for (const other of document.querySelectorAll("[data-tab]")) other.setAttribute("aria-pressed", String(other === tab));
    clocks();
  });
}
const summary = document.querySelector(".summary");
const expand = expanded => summary.setAttribute("aria-expanded", String(expanded));
summary.addEventListener("click", () => expand(summary.getAttribute("aria-expanded") !== "true"));
function fold() {
  summary.disabled = wide.matches; // There is room for the details.
  expand(wide.matches);
  clocks();
}
wide.addEventListener("change", fold);
fold();
byId("reset").addEventListener("click", () => start("/api/reset"));
document.addEventListener("visibilitychange", clocks);
addEventListener("pagehide", () => { for (const feed of Object.values(feeds)) feed.end(); });
addEventListener("pageshow", event => { if (event.persisted) location.reload(); }); // All was reported at `pagehide`.
start("/api/session");
