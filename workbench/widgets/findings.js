// Findings, one below the other and the chosen one in full. Plain ESM for anywidget, after elements.js and opening.js.
//
// The model holds `_table` (one column for each thing the list shows), `_details` (of some findings), `_reviews` (by place) and what was chosen:
// `finding_id`, `words`, `severity`, `detector`, `capability`, `reviewed`. Opening a step and keeping a verdict ask the kernel, all else doesn't.

const ROW = 24; // height of a row in px; elements.css has the same
const SEVERITY = { e: "error", w: "warning", i: "info" };
const FILTERS = ["words", "severity", "detector", "capability", "reviewed"];
const REVIEWED = [["", "reviewed or not"], ["open", "not reviewed"], ["confirmed", "confirmed"], ["dismissed", "dismissed"]];
const SIGNS = { confirmed: "✓", dismissed: "⊘" };
const KEYS = [
  ["j ↓, k ↑", "next, previous finding"], ["Home End PgUp PgDn", "as in any list"], ["Enter", "open its step below"], ["f", "fork the run there, below"], ["1 – 9", "open the step of that evidence"],
  ["c, d", "confirm, dismiss: with a note, Enter keeps it"], ["n, Shift n", "next, previous that nobody reviewed"], ["/", "filter; Esc clears"],
  ["y, Y", "copy the line of code, insert it as a cell"], ["?", "this list"],
];

function unpack(table) {
  const count = table.ids.length;
  return { ...table, count, placeOf: new Map(table.ids.map((id, place) => [id, place])), several: table.runs.length > 1 };
}

const severityOf = (all, place) => SEVERITY[all.severity[place]];
const detectorOf = (all, place) => all.detectors[all.detector[place]];
const runOf = (all, place) => all.runs[all.run[place]];
const openingOf = (all, place) => `bench.run(${all.literals[all.run[place]] ?? `"${runOf(all, place)}"`}).view(${all.step[place] === null ? "" : `step=${all.step[place]}`})`;

class FindingsView {
  constructor(model, el) {
    this.model = model;
    this.all = unpack(model.get("_table"));
    this.details = { ...model.get("_details") };
    this.asked = new Set();
    this.soon = framed();
    this.id = `fi${Math.random().toString(36).slice(2)}`;
    this.build(el);
    this.listen();
  }

  // ---- what is where

  build(el) {
    this.root = make("section", `ws fi${this.all.several ? " fi-several" : ""}`, { "aria-label": plural(this.all.count, "finding"), "data-lm-suppress-shortcuts": "true" });
    this.live = make("div", "ws-live", { "aria-live": "polite", role: "status" });
    this.opening = new Opening(this.model, this.root);
    this.help = make("div", "ws-help", { hidden: "", role: "region", "aria-label": "Keys" }, pairs(KEYS));
    this.card = focusable(make("div", "fi-card", { role: "region", "aria-label": "The chosen finding" }), 0);
    this.verdict = make("div", "fi-review");
    const body = make("div", "fi-body", { hidden: this.all.count ? null : "" }, this.buildList(), make("div", "fi-chosen", this.card, this.verdict));
    this.root.append(this.live, this.buildTitle(), this.all.count ? this.buildControls() : "", this.help, body, this.buildLacks(), this.buildFoot());
    el.append(this.root);
  }

  buildTitle() {
    const { all } = this;
    const count = (letter) => all.severity.split("").filter((one) => one === letter).length;
    const counts = Object.entries(SEVERITY).filter(([letter]) => count(letter)).map(([letter, name]) => make("span", `ws-severity ws-${name}`, `${SEVERITY_GLYPH[name]} ${number(count(letter))} ${name}`));
    this.counted = make("span", "ws-muted");
    return make("header", "ws-title", make("h3", "ws-run", all.count ? plural(all.count, "finding") : "No findings"), counts, this.counted,
      make("span", "ws-facts", all.count > 0 && (all.several ? `in ${number(all.runs.length)} runs` : bdi(`run ${all.runs[0]}`))));
  }

  buildControls() {
    const { all } = this;
    const options = (names, column) => names.map((name, place) => [name, `${name} (${number(column.filter((one) => one === place).length)})`]).sort();
    const severities = Object.entries(SEVERITY).filter(([letter]) => all.severity.includes(letter)).map(([, name]) => [name, `${SEVERITY_GLYPH[name]} ${name}`]);
    this.search = focusable(make("input", "ws-search ws-filter", {
      type: "search", placeholder: "filter  /", "aria-label": "Filter findings by text", oninput: () => { setTrait(this.model, "words", this.search.value); this.refilter(); },
    }));
    const chooser = (trait, label, choices) => select(label, choices, (value) => { setTrait(this.model, trait, value); this.refilter(); });
    this.fields = {
      severity: chooser("severity", "Severity", [["", "any severity"], ...severities]),
      detector: chooser("detector", "Detector", [["", "any detector"], ...options(all.detectors, all.detector)]),
      capability: chooser("capability", "Capability", [["", "any capability"], ...options(all.capabilities, all.capability)]),
      reviewed: chooser("reviewed", "Reviewed", REVIEWED),
    };
    return make("div", "ws-controls ws-filters", this.search, Object.values(this.fields), button("ws-button", "Keys (?)", "?", () => this.toggleHelp()));
  }

  buildList() {
    this.spacer = make("div", "ws-spacer", { role: "none" });
    this.list = focusable(make("div", "ws-list", {
      role: "listbox", "aria-label": "Findings, the gravest first", onscroll: () => this.drawSoon(), onclick: (event) => this.clicked(event), ondblclick: () => this.enter(),
    }, this.spacer), 0);
    this.empty = make("p", "ws-note fi-empty", { hidden: "" }, "No finding matches. Esc in the filter clears the words.");
    return make("div", "fi-list", this.list, this.empty);
  }

  // What could not be judged, folded away: silence is not "all is well".
  buildLacks() {
    const { lacks, lacks_count } = this.all;
    if (!lacks_count) return "";
    const line = ({ detector, why, runs, first }) => make("li", "", make("b", "", bdi(detector)), bdi(why),
      muted(`${first.join(", ")}${runs > first.length ? ` and ${number(runs - first.length)} more` : ""}`));
    const list = make("ul", "fi-lacks", { hidden: "" }, lacks.map(line), lacks_count > lacks.length && make("li", "ws-muted", `and ${number(lacks_count - lacks.length)} more reasons`));
    const toggle = button("ws-link fi-fold", "Show or hide what was not evaluated", "", () => { list.hidden = !list.hidden; show(); }, { "aria-expanded": "false" });
    const names = new Set(lacks.map(({ detector }) => detector)).size;
    const show = () => {
      toggle.textContent = `${list.hidden ? "▸" : "▾"} not evaluated: ${plural(names, "detector")}, ${plural(lacks_count, "reason")}`;
      toggle.setAttribute("aria-expanded", String(!list.hidden));
    };
    show();
    return make("div", "fi-not", toggle, list);
  }

  buildFoot() {
    this.codeLine = new CodeLine(this.model);
    return make("footer", "ws-foot", {},
      make("span", "ws-hint", { "aria-hidden": "true" }, "j/k · Enter open step · c confirm · d dismiss · / filter · ? keys"), this.opening.said, this.codeLine.parts);
  }

  listen() {
    const refilter = () => this.refilter();
    this.unfollow = follow(this.model, {
      "change:finding_id": () => this.choose(this.all.placeOf.get(this.model.get("finding_id")), false), "change:_reviews": () => { this.refilter(); if (document.activeElement !== this.note) this.drawCard(); },
      ...Object.fromEntries(FILTERS.map((name) => [`change:${name}`, refilter])), "msg:custom": (answer) => this.answered(answer),
    });
    listenToKeys(this.root, this.list, (event) => this.key(event));
    this.resized = new ResizeObserver(() => this.drawSoon());
    this.resized.observe(this.list);
    this.at = this.all.placeOf.get(this.model.get("finding_id")) ?? 0;
    this.refilter();
    this.reveal();
  }

  destroy() {
    this.unfollow();
    this.opening.stop();
    this.resized.disconnect();
    this.gone = true;
  }

  // ---- which findings are shown

  refilter() {
    if (!this.all.count) return this.codeLine.show("bench.findings()");
    const state = Object.fromEntries(FILTERS.map((name) => [name, this.model.get(name)]));
    for (const [name, field] of Object.entries(this.fields)) fill(field, state[name]);
    if (this.search.value !== state.words) this.search.value = state.words;
    this.shown = Array.from({ length: this.all.count }, (_, place) => place).filter((place) => this.holds(place, state));
    this.rowOf = new Map(this.shown.map((place, row) => [place, row]));
    this.spacer.style.height = `${this.shown.length * ROW}px`;
    this.counted.textContent = this.shown.length === this.all.count ? "" : `${number(this.shown.length)} shown`;
    this.empty.hidden = this.shown.length > 0;
    this.drawRows();
  }

  holds(place, { words, severity, detector, capability, reviewed }) {
    const { all } = this;
    const verdict = this.reviewOf(place)?.verdict ?? "open";
    const needle = words.trim().toLowerCase();
    return (!severity || severityOf(all, place) === severity) && (!detector || detectorOf(all, place) === detector)
      && (!capability || all.capabilities[all.capability[place]] === capability) && (!reviewed || verdict === reviewed)
      && (!needle || `${detectorOf(all, place)} ${runOf(all, place)} ${all.gist[place] ?? ""}`.toLowerCase().includes(needle));
  }

  reviewOf(place) {
    return this.model.get("_reviews")[place];
  }

  // ---- choosing

  choose(place, tell = true) {
    if (place === undefined || place === this.at) return;
    this.at = place;
    if (tell) setTrait(this.model, "finding_id", this.all.ids[place]);
    this.reveal();
  }

  move(by) {
    const row = this.rowOf.get(this.at) ?? -Math.sign(by);
    this.choose(this.shown[Math.min(this.shown.length - 1, Math.max(0, row + by))]);
  }

  nextOpen(by) {
    const open = this.shown.filter((place) => !this.reviewOf(place));
    this.choose((by > 0 ? open.find((place) => place > this.at) : open.findLast((place) => place < this.at)) ?? open.at(by > 0 ? 0 : -1));
  }

  reveal() {
    if (!this.all.count) return;
    scrollIntoSight(this.list, ROW, this.rowOf.get(this.at) ?? 0);
    this.drawRows();
    this.drawCard();
    this.codeLine.show(openingOf(this.all, this.at));
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => { this.live.textContent = visible(this.sentence(this.at)); }, 250);
  }

  sentence(place) {
    const { all } = this;
    const verdict = this.reviewOf(place) ? `, ${this.reviewOf(place).verdict}` : "";
    return `${severityOf(all, place)} ${detectorOf(all, place)}, run ${runOf(all, place)}${all.step[place] === null ? "" : ` step ${all.step[place]}`}${verdict}: ${all.gist[place] ?? ""}`;
  }

  enter() {
    if (this.all.count) this.opening.open(runOf(this.all, this.at), this.all.step[this.at]);
  }

  fork() {
    if (this.all.count && this.all.forkable) this.opening.fork(runOf(this.all, this.at), this.all.step[this.at]);
  }

  openEvidence(position) {
    const cited = this.details[this.at]?.evidence[position];
    if (cited) this.opening.open(cited.run_id, cited.step);
  }

  // ---- the list

  drawSoon() {
    this.soon("rows", () => this.gone || this.drawRows());
  }

  drawRows() {
    if (!this.shown) return;
    const [first, last] = inSight(this.list, ROW, this.shown.length);
    placeRows(this.list, this.spacer, this.shown.slice(first, last).map((place, offset) => this.drawRow(place, first + offset)));
  }

  drawRow(place, row) {
    const { all } = this;
    const severity = severityOf(all, place);
    const verdict = this.reviewOf(place)?.verdict;
    const element = make("div", `ws-row fi-cols${verdict === "dismissed" ? " fi-dismissed" : ""}`, {
      role: "option", id: `${this.id}-${place}`, "data-place": place, "aria-posinset": row + 1, "aria-setsize": this.shown.length,
      "aria-selected": String(place === this.at), "aria-label": this.sentence(place),
    },
    make("span", `ws-severity ws-${severity}`, { title: severity }, SEVERITY_GLYPH[severity]),
    make("span", "fi-detector", { title: detectorOf(all, place) }, bdi(detectorOf(all, place))),
    all.several && make("span", "fi-run", { title: runOf(all, place) }, bdi(runOf(all, place))),
    make("span", "fi-step", all.step[place] === null ? "run" : String(all.step[place])),
    make("span", "fi-gist", bdi(all.gist[place] ?? "…")),
    make("span", "fi-verdict", { title: verdict }, verdict && SIGNS[verdict]));
    element.style.transform = `translateY(${row * ROW}px)`;
    return element;
  }

  clicked(event) {
    const element = event.target.closest("[data-place]");
    if (!element) return;
    this.list.focus({ preventScroll: true });
    this.choose(Number(element.dataset.place));
  }

  // ---- the chosen finding

  drawCard() {
    const finding = this.details[this.at];
    this.card.scrollTop = 0;
    this.verdict.replaceChildren(...this.drawReview());
    if (!finding) return this.askFor(this.at);
    const { run_id } = this.place();
    const where = finding.step === null ? this.stepLink(run_id, null, "the whole run") : this.stepLink(run_id, finding.step);
    this.card.replaceChildren(make("h4", "ws-live", "The chosen finding"), make("article", `ws-finding ws-${finding.severity}`,
      findingHead(finding, where), this.all.several && make("div", "fi-of", muted("run "), bdi(run_id)),
      findingBody(finding, (run, step) => this.stepLink(run, step, run === run_id ? undefined : `run ${run} step ${step}`)), this.drawFork(finding.fork),
      make("h5", "", "This detector"), make("p", "ws-note", this.all.figures[this.all.detector[this.at]])));
  }

  place() {
    return { run_id: runOf(this.all, this.at), step: this.all.step[this.at] };
  }

  stepLink(run_id, step, text = `step ${step}`) {
    return button("ws-link", `Open ${text} below`, text, () => this.opening.open(run_id, step));
  }

  drawFork(code) {
    if (!code) return "";
    const line = new CodeLine(this.model);
    line.show(code);
    const panel = this.all.forkable && button("ws-button", "Fork below: edit and re-run in a panel (f)", "⑂ fork below", () => this.fork());
    return make("div", "fi-fork", line.parts, panel);
  }

  askFor(place) {
    this.card.replaceChildren(make("p", "ws-note", { role: "status" }, "Asked the kernel for this finding; it answers when it is free."));
    if (this.asked.has(place)) return;
    this.asked.add(place);
    setTimeout(() => {
      if (this.gone) return;
      if (place === this.at) this.model.send({ ask: "finding", place });
      else this.asked.delete(place);
    }, 80);
  }

  answered(answer) {
    this.opening.answered(answer);
    if (answer.ask === "finding") {
      if (answer.detail) this.details[answer.place] = answer.detail;
      if (answer.place === this.at) answer.detail ? this.drawCard() : this.card.replaceChildren(make("p", "ws-note ws-wrong", answer.error));
    }
    if (answer.ask === "review") this.reviewed(answer);
  }

  // ---- one's verdict

  drawReview() {
    const known = this.reviewOf(this.at);
    const when = known && new Date(known.reviewed_ms).toISOString().slice(0, 16).replace("T", " ");
    const before = known && make("p", "fi-known", make("b", "", `${SIGNS[known.verdict]} ${known.verdict}`), muted(` ${when} UTC `), known.note && bdi(known.note));
    if (!this.all.may_review) return [before ?? ""];
    this.note = focusable(make("input", "ws-search fi-note", { type: "text", placeholder: "why? (a note, kept with your verdict)", "aria-label": "Note", maxlength: 2000 }));
    this.told = make("span", "ws-copied", { role: "status" });
    this.verdicts = ["confirmed", "dismissed"].map((verdict) => button("ws-button", `${verdict === "confirmed" ? "Confirm: it is right (c)" : "Dismiss: it is wrong or does not matter (d)"}`,
      `${SIGNS[verdict]} ${verdict === "confirmed" ? "confirm" : "dismiss"}`, () => this.keep(verdict)));
    return [before ?? "", make("div", "fi-form", this.note, this.verdicts, this.told)];
  }

  // The note first: Enter in it keeps the verdict that was begun.
  begin(verdict) {
    if (!this.note?.isConnected) return;
    this.begun = verdict;
    this.told.textContent = `Enter keeps it: ${verdict}`;
    this.note.focus();
  }

  keep(verdict) {
    this.begun = null;
    this.told.textContent = "keeping …";
    this.model.send({ ask: "review", place: this.at, verdict, note: this.note.value.trim() });
    this.list.focus({ preventScroll: true });
  }

  reviewed({ place, verdict, code, error }) {
    this.drawRows();
    if (place !== this.at) return;
    if (error) {
      this.told.classList.add("ws-wrong");
      this.told.textContent = visible(error);
      return;
    }
    this.drawCard();
    this.told.textContent = `kept: ${verdict}`;
    this.codeLine.show(code);
  }

  // ---- keys

  key(event) {
    const { target, key } = event;
    if (target === this.search) return this.searchKey(key);
    if (target === this.note) return this.noteKey(key);
    if (target.matches("select")) return key === "Escape" ? () => this.list.focus() : undefined;
    if (target !== this.list && ["Enter", " ", "ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End"].includes(key)) return undefined;
    return this.listKey(key);
  }

  searchKey(key) {
    const leave = () => { this.list.focus(); if (!this.rowOf.has(this.at)) this.choose(this.shown[0]); };
    return { Escape: () => { setTrait(this.model, "words", ""); this.refilter(); this.list.focus(); }, Enter: leave, ArrowDown: leave }[key];
  }

  noteKey(key) {
    return {
      Escape: () => { this.begun = null; this.told.textContent = ""; this.list.focus(); },
      Enter: () => { if (this.begun) this.keep(this.begun); else this.told.textContent = "confirm or dismiss?"; },
    }[key];
  }

  listKey(key) {
    if (/^[1-9]$/.test(key)) return () => this.openEvidence(Number(key) - 1);
    if (!this.all.count && key !== "?") return { y: () => this.codeLine.copy(), Y: () => this.codeLine.insert() }[key];
    const page = Math.max(1, Math.floor(this.list.clientHeight / ROW) - 1);
    return {
      j: () => this.move(1), ArrowDown: () => this.move(1), k: () => this.move(-1), ArrowUp: () => this.move(-1), PageDown: () => this.move(page), PageUp: () => this.move(-page),
      Home: () => this.choose(this.shown[0]), End: () => this.choose(this.shown.at(-1)), Enter: () => this.enter(), f: () => this.fork(), c: () => this.begin("confirmed"), d: () => this.begin("dismissed"),
      n: () => this.nextOpen(1), N: () => this.nextOpen(-1), y: () => this.codeLine.copy(), Y: () => this.codeLine.insert(),
      "/": () => { this.search.focus(); this.search.select(); }, "?": () => this.toggleHelp(), Escape: () => { this.help.hidden = true; this.list.focus(); },
    }[key];
  }

  toggleHelp() {
    this.help.hidden = !this.help.hidden;
  }
}

export default {
  render({ model, el }) {
    const view = new FindingsView(model, el);
    return () => view.destroy();
  },
};
