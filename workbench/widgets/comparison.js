// Runs side by side: aligned steps, what is equal folded, what differs inside a step, and how each run ended.
//
// The model holds `_head` (the runs), `_aligned` (columns, one entry a row, and what rows that differ say), `row`, `inline`, `unfolded`, `ignore`. What isn't
// there is asked for by custom message. Everything a recording says reaches the page as text, by `make`.

// height of a row in px; elements.css has the same
const ROW = 24;
// a shorter stretch that is the same stays as it is
const FOLD_AT = 4;
const SIGN_WORDS = { "=": "the same", "~": "changed", "+": "added", "-": "removed", ".": "not there" };
const SHOWN_SIGNS = { "=": "=", "~": "≠", "+": "+", "-": "−", ".": "·" };
const KIND_GLYPH = { m: "✦", t: "⚒", h: "◉", n: "▢", r: "⌕" };

class Comparison {
  constructor(model, el) {
    this.model = model;
    this.id = `wc${Math.random().toString(36).slice(2)}`;
    this.soon = framed();
    this.asked = new Set();
    this.whole = new Map();
    this.build(el);
    this.unfollow = follow(model, {
      "change:row": () => this.reveal(), "change:inline": () => this.draw(), "change:unfolded": () => { this.fold(); this.draw(); },
      "change:_head": () => this.drawHead(), "change:_aligned": () => this.take(), "msg:custom": (told) => this.told(told),
    });
    this.resized = watchSize(this.list, () => this.reveal(true), () => this.soon("rows", () => this.drawRows()));
    this.drawHead();
    this.take(true);
    this.model.send({ ask: "ends" });
  }

  destroy() {
    this.unfollow();
    this.resized.disconnect();
  }

  get row() {
    return this.model.get("row");
  }

  // ---- the alignment

  take(first = false) {
    const { rows, told } = this.model.get("_aligned");
    this.rows = rows;
    this.count = rows.reference.length;
    this.held = new Map(Object.entries(told).map(([row, says]) => [Number(row), says]));
    this.asked.clear();
    this.whole.clear();
    this.differing = Array.from({ length: this.count }, (_, row) => row).filter((row) => !this.same(row));
    this.first = this.differing[0];
    this.fold();
    if (!first && this.row >= this.count) setTrait(this.model, "row", this.first ?? 0);
    this.live.textContent = visible(`${plural(this.differing.length, "row")} of ${number(this.count)} differ`);
    this.reveal(true);
  }

  same(row) {
    return this.rows.others.every(({ signs }) => signs[row] === "=");
  }

  signs(row) {
    return this.rows.others.map(({ signs }) => signs[row]);
  }

  // The lines of the list: a row, or a stretch that is the same.
  fold() {
    const open = new Set(this.model.get("unfolded"));
    this.lines = [];
    this.placeOf = new Map();
    for (let row = 0; row < this.count;) {
      let end = row;
      while (end < this.count && this.same(end)) end++;
      if (end - row > FOLD_AT) this.lines.push({ from: row, to: end, open: open.has(row) });
      const shownTo = end - row > FOLD_AT && !open.has(row) ? row : Math.max(end, row + 1);
      const place = this.lines.length - 1;
      for (let each = row; each < shownTo; each++) this.placeOf.set(each, this.lines.push({ row: each }) - 1);
      for (let each = shownTo; each < end; each++) this.placeOf.set(each, place);
      row = Math.max(end, row + 1);
    }
    this.spacer.style.height = `${this.lines.length * ROW}px`;
    this.rowsBox.style.height = `${Math.min(320, Math.max(120, this.lines.length * ROW + 34))}px`;
  }

  // ---- built once

  build(el) {
    this.root = make("section", "ws ws-compare", { "aria-label": "Runs side by side", "data-lm-suppress-shortcuts": "true" });
    this.live = make("div", "ws-live", { "aria-live": "polite", role: "status" });
    this.head = make("div", "ws-compare-head");
    this.spacer = make("div", "ws-spacer", { role: "none" });
    this.columns = make("div", "ws-head ws-grid", { "aria-hidden": "true" });
    this.list = focusable(make("div", "ws-list", { role: "listbox", id: `${this.id}-list`, "aria-label": "Rows in order", onscroll: () => this.soon("rows", () => this.drawRows()), onclick: (event) => this.clicked(event) }, this.spacer), 0);
    this.rowsBox = make("div", "ws-compare-rows", this.columns, this.list);
    this.pane = focusable(make("div", "ws-panel", { role: "region", "aria-label": "What differs in this row" }), 0);
    const go = (label, text, act) => button("ws-button", label, text, act);
    this.count_ = make("span", "ws-muted ws-where");
    this.sides = button("ws-button", "Side by side, or one below the other (s)", "inline", () => this.flip());
    this.ignores = button("ws-button", "Leave out what differs only in ids and times (w)", "ignore ids and times", () => this.leaveOut());
    this.codeLine = new CodeLine(this.model);
    this.root.append(this.live, this.head,
      make("div", "ws-controls", make("div", "ws-group", { role: "group", "aria-label": "Move" }, go("Previous difference ([)", "[ ≠", () => this.jump(-1)), go("Next difference (])", "≠ ]", () => this.jump(1))), this.count_, make("div", "ws-group ws-right-end", this.ignores, this.sides)),
      make("div", "ws-compare-body", this.rowsBox, this.pane),
      make("footer", "ws-foot", make("span", "ws-hint", { "aria-hidden": "true" }, "j/k row · ]/[ difference · →/← unfold, fold · s inline · w ignore ids and times · Enter into the row"), this.codeLine.parts));
    listenToKeys(this.root, this.list, (event) => this.key(event));
    el.append(this.root);
  }

  // ---- above the rows

  drawHead() {
    const { runs } = this.model.get("_head");
    this.runs = runs.map((run) => ({ ...run, at: new Map(run.index.map((index, place) => [index, place])) }));
    const [reference, ...others] = this.runs;
    const delta = (value, base) => (value === null || base === null || value === base ? "" : muted(` ${value > base ? "+" : "−"}${number(Math.abs(value - base))}`));
    const told = (value) => (value === null ? "not recorded" : number(value));
    const row = (run, place) => [make("tr", "", make("th", "", { scope: "row" }, bdi(run.run_id, "ws-mono"), place === 0 ? muted(" reference") : run.fork && muted(` fork at step ${run.fork[1]}`)),
      make("td", `ws-status ws-${run.status}`, `${STATUS_GLYPH[run.status]} ${run.status}`), make("td", "ws-count-of", number(run.steps), delta(run.steps, reference.steps)),
      make("td", "ws-count-of", told(run.tokens), delta(run.tokens, reference.tokens)), make("td", "ws-count-of", run.usd === null ? "not recorded" : run.cost),
      make("td", "", this.findingsOf(run))), make("tr", "", make("td", "ws-outcome", { colspan: 6 }, muted("outcome "), bdi(run.outcome.slice(0, 300))))];
    const names = ["run", "status", "steps", "tokens", "cost", "findings"];
    const wasEnds = this.ends?.open;
    this.ends = focusableSummary(make("details", "ws-more-of", make("summary", "", "State at the end"), this.endsBody = make("div", "ws-inside", note("Asked the kernel for it."))));
    this.ends.open = Boolean(wasEnds);
    this.head.replaceChildren(make("table", "ws-table", make("thead", "", make("tr", "", names.map((name) => make("th", "", { scope: "col" }, name)))), make("tbody", "", this.runs.flatMap(row))),
      ...others.map((run) => this.effectsOf(run)).filter(Boolean), ...others.map((run) => this.outcomeOf(reference, run)).filter(Boolean), ...others.map((run) => this.foundIn(run)).filter(Boolean), this.ends);
    this.drawEnds();
  }

  findingsOf({ gone, gone_word: word, new: fresh }) {
    if (gone === undefined) return "";
    if (gone === null) return muted("not examined");
    const said = [gone.length && make("span", word === "gone" ? "ws-right" : "ws-muted", `− ${number(gone.length)} ${word}`), fresh.length && make("span", "ws-wrong", `+ ${number(fresh.length)} new`)].filter(Boolean);
    return said.length ? said.flatMap((one) => [one, " "]) : muted("the same");
  }

  of(run) {
    return this.runs.length > 2 ? [muted(" in "), bdi(run.run_id, "ws-mono")] : "";
  }

  effectsOf(run) {
    if (!run.effects.length) return undefined;
    const changed = run.effects.filter(([, before, after]) => before !== after);
    const rows = run.effects.map(([key, before, after, , ways]) => make("tr", before === after ? "" : "ws-tone-warning", make("td", "", bdi(key, "ws-mono")), make("td", "ws-count-of", `${before} → ${after}`), make("td", "", muted(ways))));
    const box = focusableSummary(make("details", "ws-more-of", make("summary", "", changed.length ? `Effects: ${plural(changed.length, "act")} attempted otherwise` : `Effects: ${plural(run.effects.length, "act")}, all as in the reference`, this.of(run)), make("div", "ws-inside", make("table", "ws-table", make("tbody", "", rows)))));
    box.open = changed.length > 0 && changed.length <= 6;
    return box;
  }

  outcomeOf(reference, run) {
    if (reference.outcome === run.outcome) return undefined;
    return focusableSummary(make("details", "ws-more-of", make("summary", "", "Outcome, word by word", this.of(run)), make("div", "ws-inside", piecesShown(textPieces(reference.outcome, run.outcome)))));
  }

  foundIn(run) {
    const line = (sign, tone) => ([severity, detector, step, message]) => make("li", "", make("b", tone, sign), " ", make("span", `ws-severity ws-${severity}`, `${SEVERITY_GLYPH[severity]} ${severity}`), " ", bdi(detector, "ws-mono"), step !== null && muted(` step ${step}`), " ", bdi(message));
    const all = [...(run.gone ?? []).map(line(`− ${run.gone_word}`, run.gone_word === "gone" ? "ws-right" : "ws-muted")), ...(run.new ?? []).map(line("+ new", "ws-wrong"))];
    return all.length ? focusableSummary(make("details", "ws-more-of", make("summary", "", `Findings: ${run.gone.length} ${run.gone_word}, ${run.new.length} new`, this.of(run)), make("ul", "ws-inside ws-plain", all))) : undefined;
  }

  drawEnds() {
    if (!this.told_) return;
    const [summary] = this.ends.children;
    const count = this.told_.reduce((sum, one) => sum + (one.count ?? 0), 0);
    summary.textContent = this.told_.every((one) => one.error) ? "State at the end: not there to read" : count ? `State at the end: ${plural(count, "part")} differ` : "State at the end: the same";
    this.endsBody.replaceChildren(...this.told_.flatMap((one, place) => [
      this.told_.length > 1 && make("h5", "", bdi(this.runs[place + 1].run_id)),
      one.error ? note(one.error) : one.lines.length ? make("div", "ws-diff", { role: "list" }, one.lines.map((line) => this.endLine(line))) : note("The two states are equal."),
      one.count > (one.lines?.length ?? 0) && note(`… ${plural(one.count - one.lines.length, "more line")}.`)]).filter(Boolean));
  }

  endLine([sign, path, excerpt]) {
    const added = sign === "+";
    return make("div", `ws-line ws-${added ? "added" : "removed"}`, { role: "listitem", "aria-label": `${added ? "added" : "removed"} ${path}` }, make("span", "ws-sign", added ? "+" : "−"), bdi(path, "ws-path"), make("span", "ws-value", coloured(plain(excerpt))));
  }

  // ---- the rows

  draw() {
    this.drawRows();
    this.drawPane();
    this.sides.textContent = this.model.get("inline") ? "side by side" : "inline";
    const ignored = this.model.get("ignore").length > 0;
    this.ignores.classList.toggle("ws-on", ignored);
    this.ignores.setAttribute("aria-pressed", String(ignored));
    const place = this.differing.indexOf(this.row);
    this.count_.textContent = this.differing.length ? `${place < 0 ? "–" : number(place + 1)} of ${plural(this.differing.length, "difference")} · ${number(this.count)} rows` : `no difference in ${number(this.count)} rows`;
    this.codeLine.show(this.code());
  }

  code() {
    const { opening } = this.model.get("_head");
    const ignore = this.model.get("ignore");
    const left = ignore.length ? `, ignore=[${ignore.map((one) => `"${one}"`).join(", ")}]` : "";
    return `${opening}${left}).view(row=${this.row}${this.model.get("inline") ? ", inline=True" : ""})`;
  }

  drawRows() {
    const inline = this.model.get("inline");
    const sides = inline ? 1 : this.runs.length;
    this.root.style.setProperty("--sides", sides);
    const names = inline ? ["", "steps", "what"] : ["", ...this.runs.flatMap((run) => ["#", run.run_id])];
    this.columns.className = `ws-head ws-grid${inline ? " ws-inline" : ""}`;
    this.columns.replaceChildren(...names.map((name) => bdi(name)), make("span", "", "differs in"));
    const [first, last] = inSight(this.list, ROW, this.lines.length);
    placeRows(this.list, this.spacer, this.lines.slice(first, last).map((line, offset) => this.drawLine(line, first + offset, inline)));
    this.want(this.lines.slice(first, last));
  }

  drawLine(line, place, inline) {
    const chosen = place === this.placeOf.get(this.row);
    const about = { role: "option", id: `${this.id}-l${place}`, "data-line": place, "aria-selected": String(chosen), "aria-posinset": place + 1, "aria-setsize": this.lines.length };
    const element = line.row === undefined ? this.drawFold(line, about) : this.drawRow(line.row, about, inline);
    element.style.transform = `translateY(${place * ROW}px)`;
    return element;
  }

  drawFold({ from, to, open }, about) {
    const index = (row) => this.rows.reference[row] ?? "–";
    const says = `${open ? "▾" : "▸"} ${plural(to - from, "step")} the same`;
    return make("div", "ws-row ws-fold", { ...about, "aria-label": `${plural(to - from, "step")} the same, ${open ? "unfolded" : "folded"}` },
      make("span", "ws-sign", "="), make("span", "", says), muted(` ${index(from)} – ${index(to - 1)}`));
  }

  drawRow(row, about, inline) {
    const signs = this.signs(row);
    const worst = signs.find((sign) => sign !== "=" && sign !== ".") ?? signs.find((sign) => sign !== "=") ?? "=";
    const aspects = [...new Set(this.rows.others.flatMap(({ aspects: named }) => named[row] ?? []))];
    const held = this.held.get(row);
    const sides = [this.side(0, this.rows.reference[row], held?.gist), ...this.rows.others.map(({ step, signs: own }, place) => this.side(place + 1, step[row], own[row] === "=" ? held?.gist ?? held?.others[place].gist : held?.others[place].gist))];
    const [one] = this.rows.others;
    const numbers = [this.rows.reference[row], ...this.rows.others.map(({ step }) => step[row])].map((index) => index ?? "–").join(" / ");
    const body = inline ? [make("span", "ws-index", numbers), (this.rows.reference[row] === null ? sides.find((side, place) => place && this.rows.others[place - 1].step[row] !== null) : sides[0])[1]] : sides.flat();
    const tone = { "~": "changed", "+": "added", "-": "removed" }[worst] ?? "same";
    const first = row === this.first ? make("span", "ws-first", "first divergence") : "";
    return make("div", `ws-row ws-grid ws-is-${tone}${inline ? " ws-inline" : ""}`, { ...about, "aria-label": this.sentence(row, signs, aspects) },
      make("span", "ws-sign", { title: signs.map((sign) => SIGN_WORDS[sign]).join(", ") }, signs.map((sign) => SHOWN_SIGNS[sign]).join("")), body, make("span", "ws-aspects", first, first && aspects.length ? " · " : "", aspects.join(", ")));
  }

  side(place, index, gist) {
    if (index === null) return [make("span", "ws-index", "–"), make("span", "")];
    const run = this.runs[place];
    const at = run.at.get(index);
    const name = run.names[run.name[at]];
    return [make("span", "ws-index", index), make("span", "ws-what", { title: `${name} ${gist ?? ""}` }, make("span", "ws-kind-of", KIND_GLYPH[run.kind[at]]), run.status_of[at] === "e" && make("b", "ws-wrong", "✕ "),
      run.edited.includes(index) && make("b", "ws-edited", "◆ edited "), bdi(name, "ws-name-of"), gist && [" ", bdi(gist, "ws-muted")])];
  }

  sentence(row, signs, aspects) {
    const index = this.rows.reference[row];
    const name = index === null ? "" : ` ${this.runs[0].names[this.runs[0].name[this.runs[0].at.get(index)]]}`;
    return `Row ${row}${index === null ? "" : `, step ${index}`}${name}: ${signs.map((sign) => SIGN_WORDS[sign]).join(", ")}${aspects.length ? ` in ${aspects.join(", ")}` : ""}${row === this.first ? ", first divergence" : ""}`;
  }

  // Ask for what rows in sight say, once each, after a moment of rest.
  want(lines) {
    clearTimeout(this.wanting);
    this.wanting = setTimeout(() => {
      const rows = lines.map(({ row }) => row).filter((row) => row !== undefined && !this.held.has(row) && !this.asked.has(row));
      if (!rows.length) return;
      for (const row of rows) this.asked.add(row);
      this.model.send({ ask: "rows", from: rows[0], to: rows.at(-1) + 1 });
    }, 120);
  }

  told(told) {
    if (told.ask === "ends") {
      this.told_ = told.ends ?? this.runs.slice(1).map(() => ({ error: told.error }));
      this.drawEnds();
    } else if (told.ask === "rows" && told.told && JSON.stringify(told.ignored) === JSON.stringify(this.model.get("_aligned").ignored)) {
      for (const [row, says] of Object.entries(told.told)) this.held.set(Number(row), says);
      this.drawRows();
      if (told.told[this.row]) this.drawPane(true);
    } else if (told.ask === "whole") {
      this.whole.set(told.row, told);
      if (told.row === this.row) this.drawPane(true);
    }
  }

  // ---- moving

  go(row, tell = true) {
    if (row === undefined || row < 0 || row >= this.count) return;
    if (tell && row !== this.row) setTrait(this.model, "row", row);
    else this.reveal();
  }

  move(by) {
    const place = Math.min(this.lines.length - 1, Math.max(0, (this.placeOf.get(this.row) ?? 0) + by));
    this.goLine(this.lines[place]);
  }

  goLine(line) {
    if (line) this.go(line.row ?? line.from);
  }

  jump(by) {
    const found = by > 0 ? this.differing.find((row) => row > this.row) : this.differing.findLast((row) => row < this.row);
    this.go(found ?? this.differing.at(by > 0 ? 0 : -1));
  }

  reveal(centred = false) {
    scrollIntoSight(this.list, ROW, this.placeOf.get(this.row) ?? 0, centred);
    this.draw();
    clearTimeout(this.speaking);
    if (this.count) this.speaking = setTimeout(() => { this.live.textContent = visible(this.sentence(this.row, this.signs(this.row), [])); }, 300);
  }

  stretch() {
    const line = this.lines[this.placeOf.get(this.row)];
    return line?.row === undefined ? line : this.lines.findLast((one) => one.from !== undefined && one.from <= this.row && this.row < one.to);
  }

  toggle(line, open) {
    if (!line || line.from === undefined || line.open === open) return;
    const now = this.model.get("unfolded").filter((from) => from !== line.from);
    if (open) now.push(line.from);
    else if (this.row >= line.from && this.row < line.to) this.go(line.from);
    setTrait(this.model, "unfolded", now.sort((one, other) => one - other));
  }

  clicked(event) {
    const element = event.target.closest("[data-line]");
    if (!element) return;
    const line = this.lines[Number(element.dataset.line)];
    this.list.focus({ preventScroll: true });
    if (line.row === undefined) this.toggle(line, !line.open);
    else this.go(line.row);
  }

  flip() {
    setTrait(this.model, "inline", !this.model.get("inline"));
  }

  leaveOut() {
    setTrait(this.model, "ignore", this.model.get("ignore").length ? [] : this.model.get("_head").ignorable);
    this.ignores.classList.toggle("ws-on", this.model.get("ignore").length > 0);
    this.codeLine.show(this.code());
    this.live.textContent = "Asked the kernel to align the runs anew.";
  }

  key(event) {
    const { key, target } = event;
    const page = Math.max(1, Math.floor(this.list.clientHeight / ROW) - 1);
    const listed = { ArrowDown: () => this.move(1), ArrowUp: () => this.move(-1), PageDown: () => this.move(page), PageUp: () => this.move(-page), Home: () => this.goLine(this.lines[0]), End: () => this.goLine(this.lines.at(-1)),
      ArrowRight: () => this.toggle(this.stretch(), true), ArrowLeft: () => this.toggle(this.stretch(), false),
      Enter: () => { const line = this.lines[this.placeOf.get(this.row)]; if (line?.from === undefined) this.pane.focus(); else this.toggle(line, !line.open); } };
    if (Object.hasOwn(listed, key)) return target === this.list ? listed[key] : undefined;
    return { j: () => this.move(1), k: () => this.move(-1), "]": () => this.jump(1), "[": () => this.jump(-1), s: () => this.flip(), w: () => this.leaveOut(), y: () => this.codeLine.copy(), Y: () => this.codeLine.insert(), Escape: () => this.list.focus() }[key];
  }

  // ---- what differs in a row

  drawPane(keepScroll = false) {
    const scroll = keepScroll ? this.pane.scrollTop : 0;
    this.pane.replaceChildren(...this.paneOf(this.row).flat(Infinity).filter(Boolean));
    this.pane.scrollTop = scroll;
  }

  paneOf(row) {
    if (!this.count) return [note("Neither run has steps.")];
    const held = this.held.get(row);
    const more = this.wholeOf(row);
    if (this.same(row)) return [note(`${this.runs.length > 2 ? "All do" : "Both do"} the same here.`), more];
    if (!held) return [note("Asked the kernel for what differs; it answers when it is free.")];
    return [...this.rows.others.map(({ signs, step }, place) => [this.runs.length > 2 && make("h4", "", bdi(this.runs[place + 1].run_id)), this.against(row, signs[row], step[row], held.others[place], held)]), more];
  }

  against(row, sign, index, other, held) {
    if (sign === ".") return note("It has no such row.");
    if (sign === "=") return note("The same as the reference.");
    if (sign === "-") return [make("h4", "", "Only the reference does this"), make("pre", "ws-text ws-removed", held.gist ?? "")];
    if (sign === "+") return [make("h4", "", `Only ${this.runs.length > 2 ? "this run" : "the other"} does this`), make("pre", "ws-text ws-added", other.gist ?? "")];
    if (!other.parts.length) return note("They differ, but in nothing that is shown in parts.");
    return other.parts.map(([path, left, right]) => this.part(path, left, right));
  }

  part(path, left, right) {
    const [before, after] = [plain(left), plain(right)];
    const title = make("h5", "", bdi(path, "ws-mono"));
    const pieces = textPieces(before, after);
    if (this.model.get("inline")) return [title, piecesShown(pieces)];
    const only = (signs) => make("pre", "ws-text ws-pieces", pieces.filter(([sign]) => signs.includes(sign)).map(([sign, text]) => (sign === "=" ? text : make(sign === "-" ? "del" : "ins", sign === "-" ? "ws-removed" : "ws-added", text))));
    return [title, make("div", "ws-two", only("=-"), only("=+"))];
  }

  wholeOf(row) {
    const told = this.whole.get(row);
    if (!told) return button("ws-link", "Show the whole steps, as stored", "show the whole steps", () => this.model.send({ ask: "whole", row }));
    if (told.error) return note(told.error);
    return [make("h5", "", "The whole steps, as stored"), make("div", "ws-two ws-many", told.sides.map((side) => make("pre", "ws-text", side === null ? "–" : coloured(plain(side)))))];
  }
}

function focusableSummary(details) {
  focusable(details.querySelector("summary"));
  return details;
}

export default {
  render({ model, el }) {
    const view = new Comparison(model, el);
    return () => view.destroy();
  },
};
