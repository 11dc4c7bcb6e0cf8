// The step-through view of one run. Plain ESM for anywidget: `render({ model, el })`, after elements.js, opening.js and tree.js.
//
// Everything a trace says reaches the page as a text node or an attribute made by `make`, after `visible`: never as markup, never as a link.
// The model holds `_outline` (columns, one entry a step), `_spans` (the tree of all spans), `_details` (of some steps and spans), `step`, `tab`,
// `collapsed`, `every_span`, `_line`, `_toggled`. What isn't there is asked for by custom message and shown when it comes; nothing else waits for the kernel.

const ROW = 24; // height of a row in px; stepper.css has the same
const TABS = [["messages", "Messages"], ["decision", "Decision"], ["state", "State"], ["changes", "Changes"], ["findings", "Findings"], ["raw", "Raw"], ["span", "Span"]];
const KEYS = [
  ["j ↓, k ↑", "next, previous step"], ["←, →", "fold, unfold (Shift: all); to the parent, inside"],
  ["e, Shift e", "next, previous error"], ["n, Shift n", "next, previous finding"], ["1 – 7", "tab"],
  ["Enter, Esc", "into the pane, back"], ["/", "search; Esc clears"], ["drag, z", "over the bars: zoom; out"], ["f", "fork at this step, below"],
  ["s", "every span; the steps only"], ["y, Y", "copy the line, insert it as a cell"], ["?", "this list"],
];

const PLAIN_ID = /^[\w:.-]+$/;
const MOST_FOLDED = 20; // stepper.py has the same

const foldedWords = (trait, names) => (names.length && names.length <= MOST_FOLDED ? `, ${trait}=[${names.join(", ")}]` : "");

// A long text in blocks, at line ends where there are any: laying out one line takes the square of its length.
const blocks = (text) => text.match(/[^]{1,20000}(?:\n|$)|[^]{20000}/gu).map((part) => div("", part));

function placeRect(rect, x, width) {
  for (const [name, value] of Object.entries({ x, width, height: 20 })) rect.setAttribute(name, value);
}

// ---- the view

class View {
  constructor(model, el) {
    this.model = model;
    const tree = model.get("_spans");
    this.run = unpack(model.get("_outline"), tree?.count ? tree : NO_TREE);
    const held = model.get("_details");
    this.messages = { ...held.messages };
    this.details = { ...held.steps };
    this.spanDetails = { ...held.spans };
    this.answers = new Map(); // answers of the kernel, and `null` for a question still open
    this.grown = new Map(); // texts of which more was fetched
    this.every = Boolean(this.run.tree.count && (model.get("every_span") || !this.run.count));
    this.row = (this.every ? this.run.spans.rows[model.get("_line")] : undefined) ?? this.run.rowOf.get(model.get("step")) ?? 0;
    this.tab = model.get("tab");
    this.collapsed = this.folded();
    this.needle = "";
    this.soon = framed();
    this.window = [0, this.run.until || 1];
    this.id = `ws${Math.random().toString(36).slice(2)}`;
    this.build(el);
    this.listen();
  }

  get shape() {
    return this.every ? this.run.spans : this.run.steps;
  }

  get onStep() {
    return isStep(this.run, this.row) || !this.run.tree.count;
  }

  // The chosen step, or the one that the chosen span belongs to.
  get step() {
    return this.onStep ? this.row : owner(this.run, this.row).row;
  }

  get index() {
    return indexOf(this.run, this.step);
  }

  // Of the steps by themselves `collapsed` says which are folded; of all spans those in which no step stands are, but for what was `_toggled`.
  folded() {
    const { quiet, rowOf, spans } = this.run;
    if (!this.every) return new Set(this.model.get("collapsed").map((index) => rowOf.get(index)));
    return quiet.symmetricDifference(new Set(this.model.get("_toggled").map((line) => spans.rows[line])));
  }

  build(el) {
    this.root = focusable(make("section", "ws", { "aria-label": `Steps of run ${this.run.run_id}` }));
    this.live = div("ws-live", { "aria-live": "polite", role: "status" });
    this.opening = new Opening(this.model, this.root);
    this.help = div("ws-help", { hidden: "", role: "region", "aria-label": "Keys" }, pairs(KEYS));
    this.root.style.setProperty("--digits", `${String(indexOf(this.run, this.run.count - 1)).length * 7.3 + 14}px`);
    this.body = div("ws-body", this.buildSteps(), this.buildPane());
    this.root.append(this.live, this.buildTitle(), this.buildControls(), this.help, this.body, this.buildFoot());
    el.append(this.root);
  }

  buildTitle() {
    const { run } = this;
    const { exact, inferred, none } = run.joins;
    const facts = [
      plural(run.count, "step"), run.tree.count ? plural(run.tree.count, "span") : run.span_count > 0 && `${plural(run.span_count, "span")}, too many for a tree`, run.tokens === null ? "tokens not recorded" : `${number(run.tokens)} tokens`,
      run.cost,
      exact + inferred > 0 && `joins ${exact} exact · ${inferred} inferred · ${none} none`,
    ];
    return make("header", "ws-title",
      make("h3", "ws-run", run.run_id), bdi(run.agent), span(`ws-status ws-${run.status}`, `${STATUS_GLYPH[run.status]} ${run.status}`),
      span(`ws-count ws-count-${run.findings_count}`, `◆ ${plural(run.findings_count, "finding")}`),
      run.forked_from && muted(`fork of ${run.forked_from} at step ${run.forked_at_step}`),
      span("ws-facts", facts.map((fact) => fact && span("", fact))));
  }

  buildControls() {
    const { run } = this;
    const go = (label, glyph, move, disabled) => button("ws-button", label, glyph, move, disabled ? { disabled: "" } : {});
    this.slider = focusable(make("input", "ws-slider", {
      type: "range", min: 0, max: Math.max(0, run.count - 1), value: this.row, "aria-label": "Step", oninput: () => this.choose(Number(this.slider.value)),
    }));
    this.search = focusable(make("input", "ws-search", {
      type: "search", placeholder: "search  /", "aria-label": "Search steps", oninput: () => this.filter(this.search.value),
    }));
    return div("ws-controls",
      div("ws-group", { role: "group", "aria-label": "Move" },
        go("First step (Home)", "⇤", () => this.choose(this.shown[0])), go("Previous step (k)", "←", () => this.move(-1)),
        go("Next step (j)", "→", () => this.move(1)), go("Last step (End)", "⇥", () => this.choose(this.shown.at(-1))),
        this.toError = go("Next error (e)", "", () => this.next("errors", 1)),
        go("Next finding (n)", `◆ ${number(run.marks.size)}`, () => this.next("marked", 1), !run.marks.size)),
      div("ws-track", this.buildOverview(), this.slider),
      div("ws-group", this.search, run.tree.count > 0 && (this.toSpans = go("Every span (s)", "⊢ spans", () => this.showSpans(!this.every))), run.forks && go("Fork at this step, below (f)", "Fork", () => this.fork()), go("Keys (?)", "?", () => this.toggleHelp())));
  }

  buildOverview() {
    this.overview = svg("svg", "ws-overview");
    this.overview.setAttribute("aria-hidden", "true");
    this.overview.setAttribute("preserveAspectRatio", "none");
    this.overview.setAttribute("viewBox", `0 0 ${Math.max(1, this.run.count)} 20`);
    const paths = this.drawOverview();
    this.brush = svg("rect", "ws-brush");
    this.cursor = svg("rect", "ws-cursor");
    this.overview.append(this.brush, ...paths, this.cursor);
    this.overview.addEventListener("pointerdown", (event) => this.startBrush(event));
    const diamonds = div("ws-diamonds", { "aria-hidden": "true" }, this.thin(this.run.steps.marked).map((row) => {
      const diamond = span(`ws-mark ws-${this.run.marks.get(row)}`, "◆");
      diamond.style.left = `${((row + 0.5) / this.run.count) * 100}%`;
      return diamond;
    }));
    return div("ws-strip", { title: "Drag to zoom, z to zoom out" }, this.overview, diamonds);
  }

  // One path for all durations and one for all errors, however long the run: at most 400 bars, each as tall as its longest step.
  drawOverview() {
    const { run } = this;
    const stride = Math.ceil(run.count / 400);
    const longest = Math.log1p(run.took.reduce((most, took) => (took > most ? took : most), 1));
    const shapes = { plain: "", error: "" };
    for (let from = 0; from < run.count; from += stride) {
      const took = run.took.slice(from, from + stride).reduce((most, took) => (took > most ? took : most), 0);
      const height = Math.max(2, (Math.log1p(took) / longest) * 14);
      const failed = run.cols.status.slice(from, from + stride).includes("e");
      shapes[failed ? "error" : "plain"] += `M${from + stride * 0.12} 20v${-height}h${stride * 0.76}v${height}z`;
    }
    return Object.entries(shapes).map(([name, d]) => {
      const path = svg("path", `ws-bars-${name}`);
      path.setAttribute("d", d);
      return path;
    });
  }

  // At most about 120 rows of a longer list, evenly: markers, not data.
  thin(rows) {
    const stride = Math.ceil(rows.length / 120);
    return rows.filter((_, place) => place % stride === 0);
  }

  buildSteps() {
    this.spacer = div("ws-spacer", { role: "none" });
    this.list = focusable(div("ws-list", {
      role: "tree", id: `${this.id}-list`, onscroll: () => this.drawSoon(),
      onclick: (event) => this.clicked(event),
    }, this.spacer), 0);
    this.axis = span("ws-axis");
    const head = ["#", "step", "node", "status", "took"].map((name) => span(`ws-h-${name === "#" ? "index" : name}`, name));
    this.empty = make("p", "ws-empty", { hidden: "" });
    return div("ws-steps", div("ws-head ws-cols", { "aria-hidden": "true" }, head, this.axis, span("")), this.list, this.empty);
  }

  buildPane() {
    this.paneHead = div("ws-pane-head");
    this.pages = TABS.filter(([name]) => name !== "span" || this.run.tree.count);
    this.tabs = this.pages.map(([name, label], place) => focusable(make("button", "ws-tab", {
      type: "button", role: "tab", id: `${this.id}-${name}`, "aria-controls": `${this.id}-panel`, onclick: () => this.openTab(name),
    }, span("ws-tab-key", { "aria-hidden": "true" }, String(place + 1)), label)));
    this.panel = focusable(div("ws-panel", { role: "tabpanel", id: `${this.id}-panel` }), 0);
    return div("ws-pane", this.paneHead, div("ws-tabs", { role: "tablist", "aria-label": "About the step" }, this.tabs), this.panel);
  }

  buildFoot() {
    this.codeLine = new CodeLine(this.model);
    return make("footer", "ws-foot", {},
      span("ws-hint", { "aria-hidden": "true" }, "j/k step · ←/→ fold · e error · n finding · 1–7 tab · s spans · / search · ? keys"), this.opening.said, this.codeLine.parts);
  }

  listen() {
    this.unfollow = follow(this.model, {
      "change:step": () => this.choose(this.run.rowOf.get(this.model.get("step")), false),
      "change:tab": () => this.openTab(this.model.get("tab"), false),
      "change:collapsed": () => this.every || this.refold(this.folded()), "change:_toggled": () => this.every && this.refold(this.folded()),
      "change:every_span": () => this.showSpans(this.model.get("every_span"), false),
      "change:_line": () => this.choose(this.run.spans.rows[this.model.get("_line")], false),
      "msg:custom": (answer) => this.answered(answer),
    });
    listenToKeys(this.root, this.list, (event) => (event.target === this.search ? this.searchKey(event) : this.viewKey(event)));
    this.resized = watchSize(this.list, () => this.reveal(true), () => { this.keepInSight(); this.drawSoon(); });
    this.reshape();
    if (!this.place.has(this.row)) this.uncover(this.row);
    this.reveal(true);
  }

  destroy() {
    this.unfollow();
    this.opening.stop();
    this.resized.disconnect();
    this.gone = true;
  }

  drawSoon() {
    this.soon("rows", () => this.gone || this.drawRows());
  }

  // ---- choosing a step

  choose(row, tell = true) {
    if (!(row >= 0 && row < this.run.start.length) || row === this.row) return;
    this.row = row;
    if (!this.place.has(row)) this.uncover(row);
    if (tell) this.tell();
    this.reveal();
  }

  tell() {
    if (this.run.tree.count) this.model.set("_line", this.onStep ? -1 : this.run.spans.at[this.row]);
    setTrait(this.model, ...(this.onStep ? ["step", this.index] : ["every_span", true]));
  }

  // A step or span that is folded away or filtered out is shown before it is chosen.
  uncover(row) {
    if (this.needle) this.search.value = this.needle = "";
    if (this.shape.at[row] < 0) return this.showSpans(true);
    const open = new Set(this.collapsed);
    for (let above = this.shape.above(row); above >= 0; above = this.shape.above(above)) open.delete(above);
    this.every ? this.refold(open) : this.fold(open); // among all spans it isn't told: no person did it
  }

  // All spans, the steps among them, or the steps by themselves: what is chosen stays in sight, of a span the step it belongs to.
  showSpans(every, tell = true) {
    if (!this.run.tree.count || every === this.every) return;
    if (!every) this.row = this.step;
    this.every = every;
    this.collapsed = this.folded();
    this.reshape();
    if (!this.needle && !this.place.has(this.row)) this.uncover(this.row);
    if (tell) {
      this.model.set("every_span", every);
      this.tell();
    }
    this.reveal(true);
  }

  // What depends on which of the two trees is shown.
  reshape() {
    const { errors } = this.shape;
    this.toError.textContent = `✕ ${number(errors.length)}`;
    this.toError.disabled = !errors.length;
    this.toSpans?.setAttribute("aria-pressed", String(this.every));
    this.list.setAttribute("aria-label", this.every ? "Every span, the steps among them" : "Steps in time order");
    this.refold(this.collapsed);
    this.filter(this.needle);
  }

  move(by) {
    const place = this.place.get(this.row);
    if (place === undefined) return this.choose(this.shown[0]);
    this.choose(this.shown[Math.min(this.shown.length - 1, Math.max(0, place + by))]);
  }

  // The next of the shape's `errors` or `marked`, around the end.
  next(what, by) {
    const places = this.shape[what];
    const here = this.shape.at[this.row];
    const after = by > 0 ? places.find((place) => place > here) : places.findLast((place) => place < here);
    this.choose(this.shape.rows[after ?? places.at(by > 0 ? 0 : -1)]);
  }

  reveal(centred = false) {
    this.keepInSight(centred);
    this.drawRows();
    this.drawPosition();
    this.drawPane();
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => { this.live.textContent = visible(this.sentence(this.row)); }, 250);
  }

  keepInSight(centred) {
    scrollIntoSight(this.list, ROW, this.place.get(this.row) ?? 0, centred);
  }

  sentence(row) {
    const { run } = this;
    if (!run.start.length) return "This run has no steps.";
    const finding = run.marks.has(row) ? `, ${run.marks.get(row)} finding` : "";
    if (!isStep(run, row)) return [`Span ${nameOf(run, row)}`, kindOf(run, row)[0], statusOf(run, row)[0], duration(run.took[row]), ...badgesOf(run, row)].join(", ");
    return `Step ${indexOf(run, row)}: ${kindOf(run, row)[0]} ${nameOf(run, row)}, ${statusOf(run, row)[0]}${finding}, ${duration(run.took[row])}`;
  }

  drawPosition() {
    this.slider.value = this.step;
    this.slider.setAttribute("aria-valuetext", visible(this.sentence(this.row)));
    placeRect(this.cursor, this.step, Math.max(1, this.run.count / 400));
    this.drawCode();
  }

  drawCode() {
    const id = this.onStep ? "" : idOf(this.run, this.run.spans.at[this.row]);
    this.codeLine.show(`${this.run.code}${PLAIN_ID.test(id) ? `span="${id}"` : `step=${this.index}${this.every ? ", every_span=True" : ""}`}${this.tab === TABS[0][0] ? "" : `, tab="${this.tab}"`}${this.foldedCode()})`);
  }

  // What was folded by hand, as far as it has names and is not most of the run.
  foldedCode() {
    const { run, model } = this;
    if (!this.every) return foldedWords("collapsed", model.get("collapsed"));
    const names = model.get("_toggled").map((line) => idOf(run, line) || (isStep(run, run.spans.rows[line]) ? `step-${indexOf(run, run.spans.rows[line])}` : ""));
    return names.every((name) => PLAIN_ID.test(name)) ? foldedWords("toggled", names.map((name) => `"${name}"`)) : "";
  }

  // ---- which steps are shown

  fold(collapsed) {
    this.refold(collapsed);
    const sorted = (numbers) => numbers.sort((a, b) => a - b);
    if (this.every) setTrait(this.model, "_toggled", sorted([...this.run.quiet.symmetricDifference(collapsed)].map((row) => this.run.spans.at[row])));
    else setTrait(this.model, "collapsed", sorted([...collapsed].map((row) => indexOf(this.run, row))));
    this.drawCode();
  }

  refold(collapsed) {
    this.collapsed = collapsed;
    this.shown = this.needle ? this.matches() : this.unfolded();
    this.place = new Map(this.shown.map((row, place) => [row, place]));
    this.spacer.style.height = `${this.shown.length * ROW}px`;
    this.drawRows();
  }

  unfolded() {
    const { rows, end } = this.shape;
    const shown = [];
    for (let place = 0; place < rows.length; place = this.collapsed.has(rows[place]) ? end[place] : place + 1) shown.push(rows[place]);
    return shown;
  }

  matches(shape = this.shape) {
    const needle = this.needle.toLowerCase();
    return Array.from(shape.rows).filter((row) => this.haystack(row).includes(needle));
  }

  // What search looks at: everything in the row, the span's id, and the texts of the steps and spans whose details are here.
  haystack(row) {
    const { run } = this;
    const held = this.details[row];
    const place = run.spans.at[row];
    const texts = held ? JSON.stringify([held, (held.given ?? []).map((message) => this.messages[message])]) : "";
    const ofSpan = isStep(run, row) || !this.spanDetails[place] ? "" : JSON.stringify(this.spanDetails[place]);
    return `${kindOf(run, row)[0]} ${nameOf(run, row)} ${placeOf(run, row)} ${statusOf(run, row)[0]} ${place < 0 ? "" : idOf(run, place)} ${texts} ${ofSpan}`.toLowerCase();
  }

  filter(needle) {
    this.needle = needle.trim();
    this.refold(this.collapsed);
    this.empty.textContent = visible(this.needle ? this.foundSentence() : (this.every && this.run.tree.lost_says) || "");
    this.empty.hidden = !this.empty.textContent;
    this.live.textContent = this.empty.textContent || `${number(this.shown.length)} shown`;
    this.keepInSight(true);
    this.drawRows();
  }

  foundSentence() {
    const { run } = this;
    const found = run.tree.count && !this.every ? this.matches(run.spans) : this.shown;
    const steps = found.filter((row) => isStep(run, row)).length;
    const spans = found.length - steps;
    const loaded = Object.keys(this.details).length;
    const scope = loaded < run.count ? ` (texts of ${number(loaded)} of ${plural(run.count, "step")} are loaded; of the others, names)` : "";
    return `${plural(steps, "step")} found${spans ? `, ${plural(spans, "other span")}${this.every ? "" : " (s shows them)"}` : ""}${scope}`;
  }

  toggle(row) {
    const collapsed = new Set(this.collapsed);
    if (!collapsed.delete(row)) collapsed.add(row);
    const { at, end } = this.shape;
    if (collapsed.has(row) && at[this.row] > at[row] && at[this.row] < end[at[row]]) this.choose(row);
    this.fold(collapsed);
  }

  foldAll(fold) {
    if (fold) for (let above = this.shape.above(this.row); above >= 0; above = this.shape.above(above)) this.choose(above);
    this.fold(new Set(fold ? this.shape.rows.filter((row) => this.shape.folds(row)) : []));
    this.reveal();
  }

  left() {
    const { shape, row } = this;
    if (shape.folds(row) && !this.collapsed.has(row)) this.toggle(row);
    else if (shape.above(row) >= 0) this.choose(shape.above(row));
  }

  right() {
    const { shape, row } = this;
    if (!shape.folds(row)) return;
    if (this.collapsed.has(row)) this.toggle(row);
    else this.choose(shape.rows[shape.at[row] + 1]);
  }

  // ---- rows

  drawRows() {
    const [first, last] = inSight(this.list, ROW, this.shown.length);
    placeRows(this.list, this.spacer, this.shown.slice(first, last).map((row, offset) => this.drawRow(row, first + offset)));
    const [from, to] = this.window;
    this.axis.replaceChildren(span("", duration(from)), span("", duration(to)));
  }

  drawRow(row, place) {
    const { run, shape } = this;
    const [kind, icon] = kindOf(run, row);
    const [status, glyph] = statusOf(run, row);
    const step = isStep(run, row);
    const restart = step ? run.cols.restarts[row] : undefined;
    const at = shape.at[row];
    const [nth, of, level] = this.needle ? [place + 1, this.shown.length, 1] : [shape.nth[at], shape.kids[shape.parent[at] + 1], shape.level[at] + 1];
    const element = div(`ws-row ws-cols ws-${status}${restart === undefined ? "" : " ws-restart"}${step ? "" : " ws-span"}`, {
      role: "treeitem", id: `${this.id}-r${row}`, "data-row": row,
      "aria-level": level, "aria-posinset": nth, "aria-setsize": of, "aria-selected": String(row === this.row),
      "aria-expanded": shape.folds(row) && !this.needle ? String(!this.collapsed.has(row)) : null, "aria-label": this.sentence(row),
    },
    span("ws-index", step && String(indexOf(run, row))),
    this.drawName(row, icon, kind),
    span("ws-node", { title: placeOf(run, row) }, bdi(placeOf(run, row))),
    span("ws-status", { title: status }, span("ws-glyph", glyph), span("ws-word", status === "ok" ? "" : status)),
    span("ws-took", duration(run.took[row])),
    this.drawBar(row),
    run.marks.has(row) ? span(`ws-mark ws-${run.marks.get(row)}`, { title: `${run.marks.get(row)} finding` }, "◆") : span(""));
    element.style.transform = `translateY(${place * ROW}px)`;
    return element;
  }

  drawName(row, icon, kind) {
    const { run, shape } = this;
    const folds = shape.folds(row) && !this.needle;
    const folded = folds && this.collapsed.has(row);
    const twisty = span("ws-twisty", folds ? { "data-fold": row } : {}, folds && (folded ? "▸" : "▾"));
    const start = run.cols.restarts[row];
    const name = span("ws-name", twisty, span(`ws-kind ws-kind-${kind}`, { title: kind }, icon),
      bdi(nameOf(run, row), "ws-label", { title: nameOf(run, row) }),
      start !== undefined && span("ws-badge", { title: `Started again, or resumed after a stop: start ${start + 1}` }, /[ih]/.test(run.cols.status[row - 1] + run.cols.kind[row - 1]) ? "↻ resumed" : "↻ restarted"),
      badgesOf(run, row, this.every).map((badge) => span(`ws-badge ws-badge-${badge}`, badge)),
      folded && span("ws-badge", `+${number(shape.hidden(row))}`));
    name.style.paddingInlineStart = `${Math.min(12, this.needle ? 0 : shape.level[shape.at[row]]) * 14}px`;
    return name;
  }

  drawBar(row) {
    const lane = span("ws-lane");
    const [from, to] = this.window;
    const start = this.run.start[row];
    const end = start + (this.run.took[row] || 0);
    if (Number.isNaN(start) || end < from || start > to) return lane;
    const left = Math.max(0, (start - from) / (to - from));
    const right = Math.min(1, (end - from) / (to - from));
    const bar = span(`ws-bar ws-kind-${kindOf(this.run, row)[0]}`);
    bar.style.left = `${left * 100}%`;
    bar.style.width = `${Math.max(0, right - left) * 100}%`;
    lane.append(bar);
    return lane;
  }

  clicked(event) {
    const row = event.target.closest("[data-row]");
    if (!row) return;
    this.list.focus({ preventScroll: true });
    if (event.target.closest("[data-fold]")) this.toggle(Number(row.dataset.row));
    else this.choose(Number(row.dataset.row));
  }

  // ---- zoom: drag over steps in the overview, and the time axis covers just them

  startBrush(event) {
    const { run } = this;
    const box = this.overview.getBoundingClientRect();
    const rowAt = (x) => Math.min(run.count - 1, Math.max(0, Math.floor(((x - box.left) / box.width) * run.count)));
    const first = rowAt(event.clientX);
    const far = (at) => Math.abs(at.clientX - event.clientX) > 5;
    const dragged = (at) => [first, rowAt(at.clientX)].sort((a, b) => a - b);
    this.overview.setPointerCapture(event.pointerId);
    const drag = (at) => far(at) && this.drawBrush(...dragged(at));
    const drop = (at) => {
      this.overview.removeEventListener("pointermove", drag);
      if (far(at)) this.zoom(...dragged(at));
      else this.choose(first);
    };
    this.overview.addEventListener("pointermove", drag);
    this.overview.addEventListener("pointerup", drop, { once: true });
  }

  drawBrush(first, last) {
    const wide = first > 0 || last < this.run.count - 1;
    placeRect(this.brush, first, wide ? last - first + 1 : 0);
  }

  zoom(first, last) {
    let [from, to] = [Infinity, -Infinity];
    for (let row = first; row <= last; row++) {
      if (Number.isNaN(this.run.start[row])) continue;
      from = Math.min(from, this.run.start[row]);
      to = Math.max(to, this.run.start[row] + (this.run.took[row] || 0));
    }
    this.window = to > from ? [from, to] : [0, this.run.until || 1];
    this.drawBrush(first, last);
    this.drawRows();
  }

  // ---- keys

  searchKey(event) {
    return {
      Escape: () => { this.search.value = ""; this.filter(""); this.list.focus(); },
      Enter: () => { this.list.focus(); if (!this.place.has(this.row)) this.choose(this.shown[0]); },
      ArrowDown: () => { this.list.focus(); this.move(1); },
    }[event.key];
  }

  viewKey(event) {
    const { target, key, shiftKey } = event;
    if (target.role === "tab" && /^Arrow[LR]/.test(key)) return () => this.besideTab(key === "ArrowRight" ? 1 : -1);
    if (/^(Arrow|Home|End|Page|Enter)/.test(key)) {
      return target === this.list ? this.listKey(key, shiftKey) : undefined;
    }
    return this.letterKey(key);
  }

  listKey(key, shift) {
    const page = Math.max(1, Math.floor(this.list.clientHeight / ROW) - 1);
    return {
      ArrowDown: () => this.move(1), ArrowUp: () => this.move(-1), PageDown: () => this.move(page), PageUp: () => this.move(-page),
      Home: () => this.choose(this.shown[0]), End: () => this.choose(this.shown.at(-1)),
      ArrowLeft: () => (shift ? this.foldAll(true) : this.left()), ArrowRight: () => (shift ? this.foldAll(false) : this.right()),
      Enter: () => this.panel.focus(),
    }[key];
  }

  letterKey(key) {
    const tab = this.pages[Number(key) - 1];
    if (tab) return () => this.openTab(tab[0]);
    return {
      j: () => this.move(1), k: () => this.move(-1), e: () => this.next("errors", 1), E: () => this.next("errors", -1),
      n: () => this.next("marked", 1), N: () => this.next("marked", -1), s: this.run.tree.count > 0 && (() => this.showSpans(!this.every)), y: () => this.codeLine.copy(), Y: () => this.codeLine.insert(), z: () => this.zoom(0, this.run.count - 1),
      f: this.run.forks && (() => this.fork()),
      "/": () => { this.search.focus(); this.search.select(); }, "?": () => this.toggleHelp(),
      Escape: () => { this.help.hidden = true; this.list.focus(); },
    }[key];
  }

  fork() {
    this.opening.ask({ ask: "fork", step: this.index });
  }

  toggleHelp() {
    this.help.hidden = !this.help.hidden;
  }

  besideTab(by) {
    const { pages } = this;
    const [name] = pages[(pages.findIndex(([one]) => one === this.tab) + by + pages.length) % pages.length];
    this.openTab(name);
    this.root.querySelector(`#${this.id}-${name}`).focus();
  }

  openTab(name, tell = true) {
    if (name === this.tab) return;
    this.tab = name;
    if (tell) setTrait(this.model, "tab", name);
    this.drawPane();
    this.drawCode();
  }

  // ---- asking the kernel

  // The answer if it is here, else undefined while it is under way. Held keys pass over steps, so a question waits for a moment of rest.
  ask(question) {
    const key = JSON.stringify(question);
    if (this.answers.has(key)) return this.answers.get(key) ?? undefined;
    this.answers.set(key, null);
    const row = this.row;
    setTimeout(() => {
      if (this.gone) return;
      if (row === this.row) this.model.send(question);
      else this.answers.delete(key);
    }, 80);
    return undefined;
  }

  answered(answer) {
    const { ask, step, place } = answer;
    if (ask === "text") return this.grow(answer);
    if (ask in OPENED) return this.opening.answered(answer);
    this.answers.set(JSON.stringify(ask === "span" ? { ask, place } : { ask, step }), answer);
    if (ask === "span" && answer.detail) this.spanDetails[place] = answer.detail;
    if (ask === "step" && answer.detail) {
      Object.assign(this.messages, answer.messages);
      this.details[this.run.rowOf.get(step)] = answer.detail;
    }
    if (step === this.index || place === this.run.spans.at[this.row]) this.drawPane(true);
  }

  grow(answer) {
    const key = JSON.stringify([answer.step, answer.key]);
    const before = this.grown.get(key);
    if (before && before.more !== answer.left) return; // asked twice: this part is here already
    const text = (before?.text ?? "") + (answer.text ?? "");
    this.grown.set(key, { text, more: answer.more ?? answer.left, error: answer.error });
    if (answer.step === this.index) this.drawPane(true);
  }

  waiting(what) {
    return make("p", "ws-note", { role: "status" }, `Asked the kernel for ${what}; it answers when it is free. After a restart, run this cell again.`);
  }

  // ---- the pane

  drawPane(keepScroll = false) {
    const scroll = keepScroll ? this.panel.scrollTop : 0;
    const open = this.onStep ? this.tab : "span"; // a span that is no step has but its own page
    for (const [place, tab] of this.tabs.entries()) {
      const chosen = this.pages[place][0] === open;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      tab.disabled = !chosen && !this.onStep;
    }
    this.panel.setAttribute("aria-labelledby", `${this.id}-${open}`);
    if (!this.run.start.length) return this.panel.replaceChildren(note("This run has no steps."));
    this.paneHead.replaceChildren(...this.drawPaneHead());
    this.panel.replaceChildren(div("", this[`${open}Tab`]()));
    this.panel.scrollTop = scroll;
  }

  drawPaneHead() {
    const { run, row } = this;
    const [kind, icon] = kindOf(run, row);
    const [status, glyph] = statusOf(run, row);
    const step = this.onStep;
    const { facts = [] } = (step && this.detail()) || {};
    return [
      div("ws-pane-name",
        span(`ws-kind ws-kind-${kind}`, icon), span("ws-pane-index", step ? `step ${this.index}` : "span"),
        bdi(nameOf(run, row), "ws-pane-label"), kind !== "span" && muted(kind), span(`ws-status ws-${status}`, `${glyph} ${status}`)),
      div("ws-pane-facts", [step && placeOf(run, row), duration(run.took[row]), ...facts].map((fact) => fact && bdi(fact))),
    ];
  }

  // Details of the chosen step; undefined while the kernel has been asked for them.
  detail() {
    return this.details[this.row] ?? this.ask({ ask: "step", step: this.index })?.detail;
  }

  missing() {
    const asked = this.answers.get(JSON.stringify({ ask: "step", step: this.index }));
    return asked?.error ? wrong(asked.error) : this.waiting("this step's texts");
  }

  section(title, aside, ...content) {
    return make("section", "ws-section", make("h4", "", title, aside && muted(aside)), content);
  }

  // A text with its key; where it was cut, it says by how much and offers more.
  text(excerpt, key, json = false) {
    const step = this.index;
    const grown = this.grown.get(JSON.stringify([step, key]));
    const [start, cut] = [excerpt, 0].flat();
    const shown = start + (grown?.text ?? "");
    const more = grown ? grown.more : cut;
    const block = make("pre", "ws-text", shown.length > 2e4 ? blocks(shown) : json || looksLikeJson(shown) ? coloured(shown) : shown);
    if (grown?.error) block.append(span("ws-note ws-wrong", ` ${grown.error}`));
    if (!more) return block;
    block.append(span("ws-more", `… ${number(more)} more characters, `,
      button("ws-link", "Fetch more", "fetch", () => this.model.send({ ask: "text", step, key, left: more }))));
    return block;
  }

  messagesTab() {
    const held = this.detail();
    if (!held) return this.missing();
    return [
      held.error && this.section("Error", "", div("ws-error-text", this.text(held.error, ["error"]))),
      held.call && this.callSection(held),
      held.result !== undefined && this.section("Result", "", this.text(held.result, ["result"])),
      held.call && held.result === undefined && !held.error && this.section("Result", "", note("Not recorded.")),
      held.answer && this.section(kindOf(this.run, this.row)[0] === "human" ? "Said" : "Answered", "", this.message(held.answer, ["answer"])),
      held.given && this.givenSection(held.given),
      !held.call && !held.answer && !held.given && (held.wrote ? this.wroteSection(held) : note("No message and no call was recorded here.")),
    ];
  }

  callSection({ call }) {
    return this.section("Call", [call.id, call.raw && call.arguments !== null && " arguments were no JSON object: as recorded"], this.call(call, ["call"]));
  }

  // A call as its name and arguments.
  call(call, key) {
    return [
      div("ws-call-name", bdi(call.name), key[0] !== "call" && call.id && muted(call.id)),
      call.arguments === null ? note("Arguments were not recorded.") : this.text(call.arguments, [...key, "arguments"], !call.raw),
    ];
  }

  givenSection(given) {
    const first = this.openGiven === this.row ? 0 : Math.max(0, given.length - 6);
    const open = () => { this.openGiven = this.row; this.drawPane(true); };
    return this.section("Was given", plural(given.length, "message"),
      first > 0 && button("ws-link", "Show earlier messages", `show ${plural(first, "earlier message")}`, open),
      given.slice(first).map((id, offset) => this.message(this.messages[id], ["given", first + offset])));
  }

  message(message, key) {
    return make("article", `ws-message ws-role-${message.role}`,
      div("ws-role", message.role, message.name && bdi(message.name, "ws-muted"), message.answers && muted(message.answers)),
      message.error && div("ws-error-text", this.text(message.error, [...key, "error"])),
      message.content && this.text(message.content, [...key, "content"]),
      message.calls?.map((call, place) => div("ws-asks", this.call(call, [...key, "calls", place]))),
      message.reasoning && div("ws-asks", muted("reasoning"), this.text(message.reasoning, [...key, "reasoning"])));
  }

  decisionTab() {
    const held = this.detail();
    if (!held) return this.missing();
    const made = held.decision;
    if (!made) return this.undecided();
    return [
      this.section("Tool selected", made.selected.length ? "" : "none: it answered", this.choices(made)),
      this.section("Confidence", made.source && `from ${made.source}`, made.confidence === null ? note("Not recorded.") : this.gauge(made.confidence)),
      this.section("Reasoning", "", made.reasoning ? this.text(made.reasoning, ["decision", "reasoning"]) : note("Not recorded.")),
    ];
  }

  undecided() {
    const asker = this.run.cols.kind.lastIndexOf("m", this.row);
    return note(`A ${kindOf(this.run, this.row)[0]} step decides nothing by itself. `,
      asker >= 0 && ["The model call before it: ", this.stepLink(indexOf(this.run, asker))]);
  }

  choices({ selected, alternatives }) {
    const offered = alternatives ?? selected;
    const choice = (name) => {
      const chosen = selected.includes(name);
      const says = !chosen ? "offered" : offered.includes(name) ? "chosen" : "chosen, but not among the tools offered";
      return make("li", chosen ? "ws-chosen" : "", span("ws-choice-mark", chosen ? "●" : "○"), bdi(name), muted(says));
    };
    return [make("ul", "ws-choices", [...new Set([...offered, ...selected])].map(choice)),
      alternatives === null && note("Which other tools were offered was not recorded.")];
  }

  gauge(confidence) {
    const fill = span(`ws-gauge-fill${confidence < 0.5 ? " ws-low" : ""}`);
    fill.style.width = `${Math.max(0, Math.min(1, confidence)) * 100}%`;
    return div("ws-gauge", span("ws-gauge-number", confidence.toFixed(2)), span("ws-gauge-bar", { "aria-hidden": "true" }, fill));
  }

  stateTab() {
    const state = this.ask({ ask: "state", step: this.index });
    const held = this.detail();
    const before = !state ? this.waiting("the state") : state.error ? note(state.error) : this.text(state.before, ["state"], true);
    return [held ? this.wroteSection(held) : this.missing(), this.section("State before this step", held?.checkpoint, before)];
  }

  wroteSection(held) {
    const wrote = Object.entries(held.wrote ?? {});
    const channels = wrote.map(([channel, value]) => [div("ws-call-name", bdi(channel)), this.text(value, ["wrote", channel], true)]);
    return this.section("This step wrote", wrote.length ? "before reducers" : "", wrote.length ? channels : note("No writes were recorded."));
  }

  changesTab() {
    const held = this.detail();
    return [held ? this.wroteSection(held) : this.missing(), this.section("Changed before this step", "", this.changed(this.ask({ ask: "state", step: this.index })))];
  }

  changed(state) {
    if (!state) return this.waiting("the state");
    if (state.error) return note(state.error);
    if (state.since === undefined) return note("No earlier step of this graph started from another checkpoint to compare with.");
    const lines = state.changes.map(([sign, path, value]) => this.changeLine(sign, path, value));
    const hidden = state.changes_count - lines.length;
    return [note("In the state since ", this.stepLink(state.since), " began:"),
      lines.length ? div("ws-diff", { role: "list" }, lines) : note("Nothing: the two states are equal."),
      hidden > 0 && note(`… ${plural(hidden, "more line")}; the State tab has the whole state.`)];
  }

  changeLine(sign, path, excerpt) {
    const added = sign === "+";
    return div(`ws-line ws-${added ? "added" : "removed"}`, { role: "listitem", "aria-label": `${added ? "added" : "removed"} ${path}` },
      span("ws-sign", added ? "+" : "−"), bdi(path, "ws-path"), span("ws-value", coloured(plain(excerpt))));
  }

  findingsTab() {
    const { findings, findings_count } = this.run;
    const here = findings.filter((finding) => finding.step === this.index || finding.evidence.some((item) => item.step === this.index));
    const elsewhere = findings.filter((finding) => !here.includes(finding));
    return [
      here.length ? here.map((finding) => this.findingCard(finding)) : note(findings.length ? "No finding points at this step." : "No findings in this run."),
      elsewhere.length > 0 && this.section("Elsewhere in this run", "", elsewhere.map((finding) => this.findingHead(finding))),
      findings_count > findings.length && note(`… ${plural(findings_count - findings.length, "more finding")}: bench.findings() has them all.`),
    ];
  }

  findingHead(finding) {
    return findingHead(finding, finding.step === null ? muted("the whole run") : this.stepLink(finding.step));
  }

  findingCard(finding) {
    const link = (run_id, step) => (run_id === this.run.run_id ? this.stepLink(step) : bdi(`run ${run_id} step ${step}`));
    return make("article", `ws-finding ws-${finding.severity}`, this.findingHead(finding), findingBody(finding, link));
  }

  stepLink(index) {
    const go = () => { this.choose(this.run.rowOf.get(index)); this.list.focus({ preventScroll: true }); };
    return button("ws-link", `Go to step ${index}`, `step ${index}`, go);
  }

  rawTab() {
    const index = this.index;
    const raw = this.ask({ ask: "raw", step: index });
    if (raw?.error) return wrong(raw.error);
    if (raw) return this.section("Step", "as stored", this.text(raw.raw, ["raw"], true));
    const held = this.detail();
    const shown = held && JSON.stringify({ ...held, given: held.given?.map((id) => this.messages[id]) }, null, 2);
    return [this.waiting("the stored step"), held && this.section("Step", "as this view holds it, long texts cut", this.text(shown, ["held"], true))];
  }

  // The span itself, as it was recorded: of a step the one it was read from.
  spanTab() {
    const place = this.run.spans.at[this.row] ?? -1;
    if (place < 0) return note("No span is here.");
    const held = this.spanDetails[place];
    const asked = held ?? this.ask({ ask: "span", place });
    return [!this.onStep && this.run.count > 0 && this.belonging(),
      held ? this.spanSections(held, ["span", place]) : asked?.error ? wrong(asked.error) : this.waiting("this span's attributes")];
  }

  belonging() {
    const { how, row, more } = owner(this.run, this.row);
    return note(how, this.stepLink(indexOf(this.run, row)), more > 0 && ` and ${plural(more, "more step")}`, ".");
  }

  spanSections({ facts, said, attributes, events, resource }, key) {
    return [
      div("ws-pane-facts", facts.map((fact) => bdi(fact))),
      said && this.section("Status message", "", div("ws-error-text", this.text(said, [...key, "said"]))),
      this.section("Attributes", "", this.fields(attributes, [...key, "attributes"])),
      events.length > 0 && this.section("Events", "", events.map(({ name, after_us, attributes }, at) => [
        div("ws-call-name", bdi(name), after_us !== null && muted(`after ${duration(after_us)}`)), this.fields(attributes, [...key, "events", at, "attributes"])])),
      resource.length > 0 && this.section("Resource", "", this.fields(resource, [...key, "resource"])),
    ];
  }

  // Names and texts: the short ones side by side, the long ones below.
  fields(entries, key) {
    const short = ([, text]) => /^.{0,80}$/.test(text);
    if (!entries.length) return note("None.");
    return [pairs(entries.filter(short)), entries.map((entry, at) => !short(entry) && [div("ws-call-name", bdi(entry[0])), this.text(entry[1], [...key, at, 1])])];
  }
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.destroy();
  },
};
