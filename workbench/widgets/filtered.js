// A list that is filtered by words and fields and gone through by keys: what the list of runs and that of findings share. After elements.js and opening.js.
//
// What is shown are items (`shown`, in their order; `place` gives the place of each), one of them chosen, `at`. A list of its own says what an item's row
// holds and is called (`rowClass`, `drawCells`, `sentence`), which items are shown (`refilter`), how the chosen one comes into sight (`reveal`), what choosing
// and opening one does (`choose`, `enter`), what a click on it does (`clickedOn`), and which keys it has beside those all have (`ownKeys`).

const ROW = 24; // height of a row in px; elements.css has the same
const SCROLLING = new Set(["ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End"]);
const LIST_KEYS = [["Home End PgUp PgDn", "as in any list"]];
const LAST_KEYS = [["/", "filter; Esc clears"], ["y, Y", "copy the line of code, insert it as a cell"], ["?", "this list"]];

// A list to choose one of: pairs of value and text; `chosen(value)` hears of it.
function select(label, choices, chosen) {
  const field = make("select", "ws-select", { "aria-label": label, onchange: () => chosen(field.value) }, choices.map(([value, text]) => make("option", "", { value }, text)));
  return focusable(field);
}

// Show a value in it; one that is not among its choices all the same.
function fill(field, value) {
  if (![...field.options].some((option) => option.value === value)) field.append(make("option", "", { value }, value));
  field.value = value;
}

class FilteredList {
  constructor(model, className, label, keys) {
    Object.assign(this, { model, shown: [], place: new Map(), soon: framed(), id: `fl${Math.random().toString(36).slice(2)}` });
    this.root = focusable(make("section", `ws ${className}`, { "aria-label": label }));
    this.live = make("div", "ws-live", { "aria-live": "polite", role: "status" });
    this.help = make("div", "ws-help", { hidden: "", role: "region", "aria-label": "Keys" }, pairs([keys[0], ...LIST_KEYS, ...keys.slice(1), ...LAST_KEYS]));
    this.opening = new Opening(model, this.root);
    this.codeLine = new CodeLine(model);
  }

  // ---- what is where

  // `fields` are the traits one chooses from lists: of each its label and its choices.
  buildControls(noun, fields) {
    this.search = focusable(make("input", "ws-search ws-filter", {
      type: "search", placeholder: "filter  /", "aria-label": `Filter ${noun} by text`, oninput: () => this.set("words", this.search.value),
    }));
    this.fields = Object.fromEntries(Object.entries(fields).map(([trait, [label, choices]]) => [trait, select(label, choices, (value) => this.set(trait, value))]));
    return make("div", "ws-controls ws-filters", this.search, Object.values(this.fields), button("ws-button", "Keys (?)", "?", () => this.toggleHelp()));
  }

  buildList(label) {
    this.spacer = make("div", "ws-spacer", { role: "none" });
    this.list = focusable(make("div", "ws-list", {
      role: "listbox", "aria-label": label, onscroll: () => this.drawSoon(), onclick: (event) => this.clicked(event), ondblclick: () => this.enter(),
    }, this.spacer), 0);
    this.empty = make("p", "ws-note ws-none", { hidden: "" });
    return [this.list, this.empty];
  }

  buildFoot(hint, ...more) {
    return make("footer", "ws-foot", {}, make("span", "ws-hint", { "aria-hidden": "true" }, hint), this.opening.said, this.codeLine.parts, more);
  }

  listen(handlers) {
    const refilters = ["words", ...Object.keys(this.fields)].map((name) => [`change:${name}`, () => this.refilter()]);
    this.unfollow = follow(this.model, { ...Object.fromEntries(refilters), ...handlers });
    listenToKeys(this.root, this.list, (event) => this.key(event));
    this.resized = watchSize(this.list, () => this.reveal(), () => this.drawSoon());
  }

  destroy() {
    this.unfollow();
    this.opening.stop();
    this.resized.disconnect();
    this.gone = true;
  }

  // ---- which items are shown

  set(trait, value) {
    setTrait(this.model, trait, value);
    this.refilter();
  }

  // What the filters are set to, as their fields show it too; `needle` are the words to look for.
  filters() {
    const state = Object.fromEntries(["words", ...Object.keys(this.fields)].map((name) => [name, this.model.get(name)]));
    for (const [name, field] of Object.entries(this.fields)) fill(field, state[name]);
    if (this.search.value !== state.words) this.search.value = state.words;
    return { ...state, needle: state.words.trim().toLowerCase() };
  }

  show(items) {
    this.shown = items;
    this.place = new Map(items.map((item, place) => [item, place]));
    this.spacer.style.height = `${items.length * ROW}px`;
  }

  move(by) {
    const place = this.place.get(this.at) ?? -Math.sign(by);
    this.choose(this.shown[Math.min(this.shown.length - 1, Math.max(0, place + by))]);
  }

  // The next shown item for which `holds`, around the end.
  next(holds, by) {
    const items = this.shown.filter(holds);
    const here = this.place.get(this.at) ?? -1;
    const after = by > 0 ? items.find((item) => this.place.get(item) > here) : items.findLast((item) => this.place.get(item) < here);
    this.choose(after ?? items.at(by > 0 ? 0 : -1));
  }

  say(text) {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => { this.live.textContent = visible(text); }, 250);
  }

  // ---- rows

  drawSoon() {
    this.soon("rows", () => this.gone || this.drawRows());
  }

  drawRows() {
    const [first, last] = inSight(this.list, ROW, this.shown.length);
    placeRows(this.list, this.spacer, this.shown.slice(first, last).map((item, offset) => this.drawRow(item, first + offset)));
  }

  drawRow(item, place) {
    const row = make("div", `ws-row ${this.rowClass(item)}`, {
      role: "option", id: `${this.id}-${place}`, "data-place": place, "aria-posinset": place + 1, "aria-setsize": this.shown.length,
      "aria-selected": String(item === this.at), "aria-label": this.sentence(item),
    }, this.drawCells(item));
    row.style.transform = `translateY(${place * ROW}px)`;
    return row;
  }

  clicked({ target }) {
    const row = target.closest("[data-place]");
    if (!row) return;
    this.list.focus({ preventScroll: true });
    this.clickedOn(this.shown[Number(row.dataset.place)], target);
  }

  // ---- keys

  key({ target, key }) {
    if (target === this.search) return this.searchKey(key);
    if (target.matches("select")) return key === "Escape" ? () => this.list.focus() : undefined;
    if (target !== this.list && (["Enter", " "].includes(key) || (SCROLLING.has(key) && target.matches("[role=region]")))) return undefined;
    return this.listKey(key);
  }

  searchKey(key) {
    const leave = () => { this.list.focus(); if (!this.place.has(this.at)) this.choose(this.shown[0]); };
    return { Escape: () => { this.set("words", ""); this.list.focus(); }, Enter: leave, ArrowDown: leave }[key];
  }

  listKey(key) {
    const page = Math.max(1, Math.floor(this.list.clientHeight / ROW) - 1);
    return {
      j: () => this.move(1), ArrowDown: () => this.move(1), k: () => this.move(-1), ArrowUp: () => this.move(-1), PageDown: () => this.move(page), PageUp: () => this.move(-page),
      Home: () => this.choose(this.shown[0]), End: () => this.choose(this.shown.at(-1)), Enter: () => this.enter(), y: () => this.codeLine.copy(), Y: () => this.codeLine.insert(),
      "/": () => { this.search.focus(); this.search.select(); }, "?": () => this.toggleHelp(), Escape: () => { this.help.hidden = true; this.list.focus(); }, ...this.ownKeys(),
    }[key];
  }

  toggleHelp() {
    this.help.hidden = !this.help.hidden;
  }
}
