// What every widget of the workbench is made of: text made safe, elements, numbers, keys, rows in sight, and the line of code that repeats what was
// done. A widget's own text comes after this one in the same module (assets.py joins them), so these names are simply there; it needs no others.

const STATUS_GLYPH = { ok: "✓", error: "✕", interrupted: "‖", running: "…", cancelled: "⊘" };
const SEVERITY_GLYPH = { error: "✕", warning: "▲", info: "●" };
const SEVERITY_RANK = { error: 2, warning: 1, info: 0 };

// ---- text and elements

// Controls, direction marks, zero-width and tag characters can make text read as something it is not. excerpt.py has the same list.
const HIDDEN = new RegExp([
  "(?<![\\u2600-\\u27bf\\u{1f000}-\\u{1faff}\\ufe0f])\\u200d|[\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f",
  "\\u200b\\u200c\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\u{d800}-\\u{dfff}\\u{e0000}-\\u{e0fff}]",
].join(""), "gu");

function visible(text) {
  return String(text).replace(HIDDEN, (hidden) => `⟨U+${hidden.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

// An element with a class, maybe attributes (`on…` keys are listeners of ours), and children; strings become text nodes.
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  const attributes = children[0]?.constructor === Object ? children.shift() : {};
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, visible(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child || child === 0).map(asNode));
  return element;
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(visible(child));
}

// Lab must not read keys pressed on this element as its own shortcuts; it looks at the focused element.
function focusable(element, tabindex) {
  element.setAttribute("data-lm-suppress-shortcuts", "true");
  if (tabindex !== undefined) element.tabIndex = tabindex;
  return element;
}

function button(className, label, text, onclick, attributes = {}) {
  return focusable(make("button", className, { type: "button", "aria-label": label, title: label, onclick, ...attributes }, text));
}

function svg(tag, className) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  element.setAttribute("class", className);
  return element;
}

const span = (className, ...children) => make("span", className, ...children);
const div = (className, ...children) => make("div", className, ...children);
const bdi = (text, className, attributes = {}) => make("bdi", className, attributes, text);
const note = (...content) => make("p", "ws-note", content);
const wrong = (text) => make("p", "ws-note ws-wrong", text);
const muted = (text, title) => span("ws-muted", { title }, text);
// No dl, dt, dd: Lab lays them out its own way wherever they stand.
const pairs = (entries) => div("ws-pairs", entries.map(([name, value]) => [make("b", "", name), span("", value)]));

// ---- numbers and texts in words

const number = (value) => value.toLocaleString("en-US");
const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
const money = (usd) => `$${usd && usd < 1 ? usd.toPrecision(2) : usd.toFixed(2)}`;

function duration(us) {
  if (Number.isNaN(us)) return "–";
  if (us === 0) return "0";
  if (us < 1e3) return `${us} µs`;
  if (us < 1e6) return `${(us / 1e3).toFixed(us < 1e4 ? 1 : 0)} ms`;
  if (us < 6e7) return `${(us / 1e6).toFixed(us < 1e7 ? 2 : 1)} s`;
  if (us < 3.6e9) return `${Math.floor(us / 6e7)} m ${Math.round((us % 6e7) / 1e6)} s`;
  return `${(us / 3.6e9).toFixed(1)} h`;
}

// A text as Python sends it, whole or as its beginning and how many more characters it has.
function plain(excerpt) {
  return Array.isArray(excerpt) ? `${excerpt[0]} … ${number(excerpt[1])} more characters` : excerpt;
}

function looksLikeJson(text) {
  return /^\s*[[{]/.test(text);
}

// JSON text as spans: keys, strings, numbers and words told apart. Long texts stay plain, to keep the page light.
function coloured(text) {
  if (text.length > 8000) return [text];
  const parts = [];
  let last = 0;
  for (const token of text.matchAll(/("(?:[^"\\\n]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b/g)) {
    const kind = token[2] ? "key" : token[1] ? "string" : /[a-z]/.test(token[0][0]) ? "word" : "number";
    parts.push(text.slice(last, token.index), span(`ws-json-${kind}`, token[1] ?? token[0]), token[2] ?? "");
    last = token.index + token[0].length;
  }
  return [...parts, text.slice(last)];
}

// ---- findings

function findingHead({ severity, detector, capability, score }, place) {
  return div("ws-finding-head", span(`ws-severity ws-${severity}`, `${SEVERITY_GLYPH[severity]} ${severity}`), make("b", "", detector),
    muted(`${capability} · score ${score ?? "–"}`, "How sure the detector is, 0 to 1; that is not how often it is right."), place);
}

// What a finding says: message, numbers, evidence (each with what `link(run_id, step)` makes of its place), and what would refute it.
function findingBody(finding, link) {
  const numbers = Object.entries(finding.numbers);
  const evidence = finding.evidence.map(({ run_id, step, path, says, sha256 }) => make("li", "", link(run_id, step), make("code", "", path), plain(says),
    span("ws-sha", { title: "SHA-256 of the value when it was cited" }, sha256)));
  return [make("p", "ws-says", plain(finding.message)), numbers.length > 0 && pairs(numbers),
    evidence.length > 0 && [make("h5", "", "Evidence"), make("ul", "ws-evidence", evidence)],
    finding.refute && [make("h5", "", "What would refute it"), make("p", "ws-says", plain(finding.refute))]];
}

// ---- the model

function setTrait(model, trait, value) {
  model.set(trait, value);
  model.save_changes();
}

// Listen to `change:trait` and `msg:custom`; what comes back stops it.
function follow(model, handlers) {
  for (const [event, handler] of Object.entries(handlers)) model.on(event, handler);
  return () => { for (const [event, handler] of Object.entries(handlers)) model.off(event, handler); };
}

// At most one pending call of each kind a frame.
function framed() {
  const pending = new Set();
  return (kind, act) => {
    if (pending.has(kind)) return;
    pending.add(kind);
    requestAnimationFrame(() => { if (pending.delete(kind)) act(); });
  };
}

// ---- rows: only those in sight are in the page

// Which of `count` rows of a height are in sight in a list that scrolls, and a few around them: first, and the one after the last.
function inSight(list, height, count) {
  const first = Math.max(0, Math.floor(list.scrollTop / height) - 4);
  return [first, Math.min(count, first + Math.ceil((list.clientHeight || 400) / height) + 8)];
}

function scrollIntoSight(list, height, place, centred) {
  const [top, room] = [place * height, list.clientHeight || 400];
  if (centred) list.scrollTop = top - Math.round(room / 2 / height) * height;
  else if (top < list.scrollTop) list.scrollTop = top;
  else if (top + height > list.scrollTop + room) list.scrollTop = top + height - room;
}

// Watch a list's size. `shown` is called as it comes into the page, before which it can't scroll (a notebook makes a view before it shows it, and takes it
// out of the page and back, perhaps at once, which its size doesn't tell: its animation begins anew), `resized` whenever its size changes.
function watchSize(list, shown, resized) {
  list.addEventListener("animationstart", shown);
  const observer = new ResizeObserver(resized);
  observer.observe(list);
  return observer;
}

// The rows of a list, drawn anew; what has the focus stays the list itself, and it says which row is active.
function placeRows(list, spacer, rows) {
  list.replaceChildren(spacer, ...rows);
  const active = list.querySelector('[aria-selected="true"]');
  if (active) list.setAttribute("aria-activedescendant", active.id);
  else list.removeAttribute("aria-activedescendant");
}

// ---- keys: handled anywhere in the view, except where the focused control has a use of its own for them

const TYPED = "textarea, select, input:not([type=range], [type=checkbox], [type=radio], [type=button])";

// `act(event)` gives what a key does, or nothing where it is not ours; `rest` is what has the focus when nothing else of ours has.
// While Ctrl, Alt or Meta is held, Lab gets its shortcuts (save, run) as if we weren't there; what one types into keeps its keys.
function listenToKeys(root, rest, act) {
  let lent = [];
  const lend = (held) => {
    const focused = root.contains(document.activeElement) ? document.activeElement : rest;
    const lends = held && !focused.matches(TYPED);
    for (const element of new Set([root, focused, ...lent])) element.toggleAttribute("data-lm-suppress-shortcuts", !lends);
    lent = lends ? [focused] : [];
  };
  const modified = (event) => event.ctrlKey || event.metaKey || event.altKey;
  root.addEventListener("keydown", (event) => {
    lend(modified(event));
    if (modified(event) && !event.target.matches(TYPED)) return;
    event.stopPropagation();
    const does = modified(event) || event.isComposing ? undefined : act(event);
    if (!does) return;
    event.preventDefault();
    does();
  });
  root.addEventListener("keyup", (event) => lend(modified(event)));
  root.addEventListener("focusout", () => lend(false));
}

// ---- the line of code that repeats what was done

// Below the cell that `element` is an output of. False where the notebook is not one we know how to add to (JupyterLab 4 and Notebook 7 are).
function insertCell(model, element, source) {
  const notebook = model.widget_manager?.context?.model?.sharedModel;
  const cell = element.closest(".jp-Notebook .jp-Cell");
  const place = Number(cell?.dataset.windowedListIndex ?? NaN);
  if (!notebook?.insertCell || Number.isNaN(place)) return false;
  notebook.insertCell(place + 1, { cell_type: "code", source, metadata: { trusted: true } });
  return true;
}

// A line of code made by Python, with what one does with it. `show(code)` sets it; `copy` and `insert` say what came of it.
class CodeLine {
  constructor(model) {
    this.model = model;
    this.line = make("code", "ws-code");
    this.said = span("ws-copied", { role: "status" });
    this.parts = [this.said, this.line,
      button("ws-button", "Copy: take this line of code (y)", "copy", () => this.copy()),
      model.widget_manager ? button("ws-button", "Insert cell: put this line into a new cell below (Y)", "insert cell", () => this.insert()) : ""];
  }

  show(code) {
    this.code = code;
    this.line.textContent = visible(code);
    this.said.textContent = "";
  }

  async copy(done = "copied") {
    try {
      await navigator.clipboard.writeText(this.code);
      this.said.textContent = done;
    } catch (refused) {
      getSelection().selectAllChildren(this.line);
      this.said.textContent = "selected: the browser keeps the clipboard to itself";
    }
  }

  insert() {
    if (insertCell(this.model, this.line, this.code)) this.said.textContent = "inserted below";
    else this.copy("copied: paste it into a cell, this notebook takes none from a view");
  }
}
