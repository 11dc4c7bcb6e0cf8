// Findings, one below the other and the chosen one in full. Plain ESM for anywidget, after elements.js, opening.js and filtered.js.
//
// The model holds `_table` (one column for each thing the list shows), `_details` (of some findings), `_reviews` (by place, the newest first) and what was
// chosen: `finding_id`, `words`, `severity`, `detector`, `capability`, `reviewed`. Opening a step and keeping a verdict ask the kernel, all else doesn't.

const SEVERITY = { e: "error", w: "warning", i: "info" };
const REVIEWED = [["", "reviewed or not"], ["open", "not reviewed"], ["confirmed", "confirmed"], ["dismissed", "dismissed"]];
const SIGNS = { confirmed: "✓", dismissed: "⊘" };
const KEYS = [
  ["j ↓, k ↑", "next, previous finding"], ["Enter", "open its step below"], ["f", "fork the run there, below"], ["1 – 9", "open the step of that evidence"],
  ["c, d", "confirm, dismiss: with a note, Enter keeps it"], ["n, Shift n", "next, previous that nobody reviewed"],
];

function unpack(table) {
  const count = table.ids.length;
  return { ...table, count, placeOf: new Map(table.ids.map((id, place) => [id, place])), several: table.runs.length > 1 };
}

const severityOf = (all, place) => SEVERITY[all.severity[place]];
const detectorOf = (all, place) => all.detectors[all.detector[place]];
const runOf = (all, place) => all.runs[all.run[place]];
const openingOf = (all, place) => `bench.run(${all.literals[all.run[place]] ?? `"${runOf(all, place)}"`}).view(${all.step[place] === null ? "" : `step=${all.step[place]}`})`;

class FindingsView extends FilteredList {
  constructor(model, el) {
    const all = unpack(model.get("_table"));
    super(model, `fi${all.several ? " fi-several" : ""}`, plural(all.count, "finding"), KEYS);
    this.all = all;
    this.details = { ...model.get("_details") };
    this.asked = new Set();
    this.build(el);
    this.at = all.placeOf.get(model.get("finding_id")) ?? 0;
    this.listen({
      "change:finding_id": () => this.choose(all.placeOf.get(model.get("finding_id")), false),
      "change:_reviews": () => { this.refilter(); if (document.activeElement !== this.note) this.drawCard(); }, "msg:custom": (answer) => this.answered(answer),
    });
    this.refilter();
    this.reveal();
  }

  // ---- what is where

  build(el) {
    this.card = focusable(make("div", "fi-card", { role: "region", "aria-label": "The chosen finding" }), 0);
    this.verdict = make("div", "fi-review");
    const controls = this.buildFilters();
    const body = make("div", "fi-body", make("div", "fi-list", this.buildList("Findings, the gravest first")), make("div", "fi-chosen", this.card, this.verdict));
    controls.hidden = body.hidden = !this.all.count;
    this.empty.textContent = "No finding matches these filters.";
    this.root.append(this.live, this.buildTitle(), controls, this.help, body, this.buildLacks(), this.buildFoot("j/k · Enter open step · c confirm · d dismiss · / filter · ? keys"));
    el.append(this.root);
  }

  buildTitle() {
    const { all } = this;
    const count = (letter) => all.severity.split("").filter((one) => one === letter).length;
    const counts = Object.entries(SEVERITY).filter(([letter]) => count(letter)).map(([letter, name]) => make("span", `ws-severity ws-${name}`, `${SEVERITY_GLYPH[name]} ${letter === "i" ? `${number(count(letter))} info` : plural(count(letter), name)}`));
    this.counted = make("span", "ws-muted");
    return make("header", "ws-title", make("h3", "ws-run", all.count ? plural(all.count, "finding") : "No findings"), counts, this.counted,
      make("span", "ws-facts", all.count > 0 && (all.several ? `in ${number(all.runs.length)} runs` : bdi(`run ${all.runs[0]}`))));
  }

  buildFilters() {
    const { all } = this;
    const options = (names, column) => names.map((name, place) => [name, `${name} (${number(column.filter((one) => one === place).length)})`]).sort();
    const severities = Object.entries(SEVERITY).filter(([letter]) => all.severity.includes(letter)).map(([, name]) => [name, `${SEVERITY_GLYPH[name]} ${name}`]);
    return this.buildControls("findings", {
      severity: ["Severity", [["", "any severity"], ...severities]], detector: ["Detector", [["", "any detector"], ...options(all.detectors, all.detector)]],
      capability: ["Capability", [["", "any capability"], ...options(all.capabilities, all.capability)]], reviewed: ["Reviewed", REVIEWED],
    });
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

  // ---- which findings are shown

  refilter() {
    const state = this.filters();
    this.show([...this.all.ids.keys()].filter((place) => this.holds(place, state)));
    this.counted.textContent = this.shown.length === this.all.count ? "" : `${number(this.shown.length)} shown`;
    this.empty.hidden = this.shown.length > 0;
    this.drawRows();
  }

  holds(place, { needle, severity, detector, capability, reviewed }) {
    const { all } = this;
    const verdict = this.reviewOf(place)?.verdict ?? "open";
    return (!severity || severityOf(all, place) === severity) && (!detector || detectorOf(all, place) === detector)
      && (!capability || all.capabilities[all.capability[place]] === capability) && (!reviewed || verdict === reviewed)
      && (!needle || `${detectorOf(all, place)} ${runOf(all, place)} ${all.gist[place] ?? ""}`.toLowerCase().includes(needle));
  }

  // The newest word on it that was said here: the one that counts.
  reviewOf(place) {
    return this.model.get("_reviews")[place]?.find((one) => one.origin === null);
  }

  // ---- choosing

  choose(place, tell = true) {
    if (place === undefined || place === this.at) return;
    this.at = place;
    if (tell) setTrait(this.model, "finding_id", this.all.ids[place]);
    this.reveal();
  }

  reveal() {
    if (!this.all.count) return this.codeLine.show("bench.findings()");
    scrollIntoSight(this.list, ROW, this.place.get(this.at) ?? 0);
    this.drawRows();
    this.drawCard();
    this.codeLine.show(openingOf(this.all, this.at));
    this.say(this.sentence(this.at));
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

  rowClass(place) {
    return `fi-cols${this.reviewOf(place)?.verdict === "dismissed" ? " fi-dismissed" : ""}`;
  }

  drawCells(place) {
    const { all } = this;
    const severity = severityOf(all, place);
    const verdict = this.reviewOf(place)?.verdict;
    return [
      make("span", `ws-severity ws-${severity}`, { title: severity }, SEVERITY_GLYPH[severity]),
      make("span", "fi-detector", { title: detectorOf(all, place) }, bdi(detectorOf(all, place))),
      all.several && make("span", "fi-run", { title: runOf(all, place) }, bdi(runOf(all, place))),
      make("span", "fi-step", all.step[place] === null ? "run" : `step ${all.step[place]}`),
      make("span", "fi-gist", bdi(all.gist[place] ?? "…")),
      make("span", "fi-verdict", { title: verdict }, verdict && SIGNS[verdict]),
    ];
  }

  clickedOn(place) {
    this.choose(place);
  }

  // ---- the chosen finding

  drawCard() {
    const finding = this.details[this.at];
    this.card.scrollTop = 0;
    this.verdict.replaceChildren(...this.drawReview());
    if (!finding) return this.askFor(this.at);
    const run_id = runOf(this.all, this.at);
    const where = finding.step === null ? this.stepLink(run_id, null, "the whole run") : this.stepLink(run_id, finding.step);
    this.card.replaceChildren(make("h4", "ws-live", "The chosen finding"), make("article", `ws-finding ws-${finding.severity}`,
      findingHead(finding, where), this.all.several && make("div", "fi-of", muted("run "), bdi(run_id)),
      findingBody(finding, (run, step) => this.stepLink(run, step, run === run_id ? undefined : `run ${run} step ${step}`)), this.drawFork(finding.fork),
      make("h5", "", "This detector"), make("p", "ws-note", this.all.figures[this.all.detector[this.at]])));
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
      if (answer.place === this.at) answer.detail ? this.drawCard() : this.card.replaceChildren(wrong(answer.error));
    }
    if (answer.ask === "review") this.reviewed(answer);
  }

  // ---- one's verdict

  drawReview() {
    const words = (this.model.get("_reviews")[this.at] ?? []).map((one) => this.drawSaid(one));
    const said = words.length ? make("ol", "fi-said", { "aria-label": "What was said of it, the newest first" }, words) : "";
    if (!this.all.may_review) return [said];
    this.note = focusable(make("input", "ws-search fi-note", { type: "text", placeholder: "why? (a note, kept with your verdict)", "aria-label": "Note", maxlength: 2000 }));
    this.told = make("span", "ws-copied", { role: "status" });
    this.verdicts = ["confirmed", "dismissed"].map((verdict) => button("ws-button", `${verdict === "confirmed" ? "Confirm: it is right (c)" : "Dismiss: it is wrong or does not matter (d)"}`,
      `${SIGNS[verdict]} ${verdict === "confirmed" ? "confirm" : "dismiss"}`, () => this.keep(verdict)));
    return [said, make("div", "fi-form", this.note, this.verdicts, this.told)];
  }

  drawSaid({ verdict, by, reviewed_ms, note, origin }) {
    const when = new Date(reviewed_ms).toISOString().slice(0, 16).replace("T", " ");
    return make("li", `fi-known${origin ? " fi-elsewhere" : ""}`, make("b", "", `${SIGNS[verdict]} ${verdict}`), by && [" by ", bdi(by)], muted(` ${when} UTC `), note && bdi(note),
      origin && muted(` said elsewhere, in ${origin}: it decides nothing here`));
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
    return event.target === this.note ? this.noteKey(event.key) : super.key(event);
  }

  noteKey(key) {
    return {
      Escape: () => { this.begun = null; this.told.textContent = ""; this.list.focus(); },
      Enter: () => { if (this.begun) this.keep(this.begun); else this.told.textContent = "confirm or dismiss?"; },
    }[key];
  }

  ownKeys() {
    const evidence = Array.from({ length: 9 }, (_, position) => [position + 1, () => this.openEvidence(position)]);
    const open = (place) => !this.reviewOf(place);
    return {
      ...Object.fromEntries(evidence), f: () => this.fork(), c: () => this.begin("confirmed"), d: () => this.begin("dismissed"), n: () => this.next(open, 1), N: () => this.next(open, -1),
    };
  }
}

export default {
  render({ model, el }) {
    const view = new FindingsView(model, el);
    return () => view.destroy();
  },
};
