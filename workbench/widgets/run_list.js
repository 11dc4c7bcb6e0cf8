// The runs of a store as a list. Plain ESM for anywidget, after elements.js and opening.js.
//
// The model holds `_table` (one column for each thing shown, failed runs first) and what was chosen: `run_id`, `marked`, `words`, `status`, `agent`,
// `detector`, `sort`, `group`. Filtering, sorting and grouping happen here and need no kernel; opening a run asks it.

const ROW = 24; // height of a row in px; elements.css has the same
const STATUS = { o: "ok", e: "error", i: "interrupted", r: "running", c: "cancelled" };
const SEVERITY = { e: "error", w: "warning", i: "info" };
const GROUPS = [["", "no groups"], ["findings", "by findings"], ["agent", "by agent"], ["status", "by status"]];
const COLUMNS = [
  ["status", "•", "how it ended"], ["run", "run"], ["agent", "agent"], ["started", "started", "in UTC"], ["took", "took", "from the first start to the last end, waiting for people included"],
  ["steps", "steps"], ["tokens", "tokens"], ["cost", "cost"], ["findings", "findings"],
];
const WIDEST_FIRST = new Set(["started", "took", "steps", "tokens", "cost", "findings", "status"]);
const KEYS = [
  ["j ↓, k ↑", "next, previous run"], ["Home End PgUp PgDn", "as in any list"], ["Enter", "open the run below"], ["c, C", "mark for a comparison, compare the marked below"],
  ["e, Shift e", "next, previous failed run"], ["n, Shift n", "next, previous run with findings"], ["g", "group: by findings, agent, status"], ["←, →", "fold, unfold a group"],
  ["/", "filter; Esc clears"], ["y, Y", "copy the line of code, insert it as a cell"], ["?", "this list"],
];

// ---- the runs

function unpack(table) {
  const count = table.ids.length;
  let last = table.base_us;
  const start = table.start_us.map((delta) => (delta === null ? NaN : (last += delta)));
  const most = (column) => column.reduce((top, value) => (value > top ? value : top), 0);
  const runs = { ...table, count, start, most: { took: most(table.took_ms), tokens: most(table.tokens), cost: most(table.cost) } };
  runs.rowOf = new Map(table.ids.map((id, row) => [id, row]));
  runs.oneDay = new Set(start.filter((us) => !Number.isNaN(us)).map((us) => Math.floor(us / 8.64e10))).size < 2;
  return runs;
}

const statusOf = (runs, row) => STATUS[runs.status[row]];
const agentOf = (runs, row) => runs.agents[runs.agent[row]];
const worstOf = (runs, row) => SEVERITY[runs.worst[row]];
const codeOf = (runs, row) => `bench.run(${runs.literals[row] ?? `"${runs.ids[row]}"`})`;
const detectorsOf = (runs, row) => runs.clusters[runs.cluster[row]]?.map((detector) => runs.detectors[detector]) ?? null;

// What a column is sorted by; null where nothing was recorded.
const VALUES = {
  run: (runs, row) => runs.ids[row], agent: (runs, row) => agentOf(runs, row) || null, status: (runs, row) => "oirce".indexOf(runs.status[row]),
  started: (runs, row) => (Number.isNaN(runs.start[row]) ? null : runs.start[row]), took: (runs, row) => runs.took_ms[row], steps: (runs, row) => runs.steps[row],
  tokens: (runs, row) => runs.tokens[row], cost: (runs, row) => runs.cost[row],
  findings: (runs, row) => (detectorsOf(runs, row) === null ? null : "-iwe".indexOf(runs.worst[row]) * 1e6 + runs.findings[row]),
};

function when(us, short) {
  if (Number.isNaN(us) || Math.abs(us / 1000) > 8.64e15) return "–";
  const text = new Date(us / 1000).toISOString();
  return short ? text.slice(11, 19) : `${text.slice(5, 10)} ${text.slice(11, 19)}`;
}

const compact = (count) => (count === null ? "–" : count < 1e4 ? number(count) : count < 1e6 ? `${(count / 1e3).toFixed(1)}k` : `${(count / 1e6).toFixed(1)}M`);

// ---- the view

class RunListView {
  constructor(model, el) {
    this.model = model;
    this.runs = unpack(model.get("_table"));
    this.folded = new Set();
    this.soon = framed();
    this.id = `rl${Math.random().toString(36).slice(2)}`;
    this.build(el);
    this.listen();
  }

  // ---- what is where

  build(el) {
    const { runs } = this;
    this.root = make("section", "ws rl", { "aria-label": `${plural(runs.count, "run")}`, "data-lm-suppress-shortcuts": "true" });
    this.live = make("div", "ws-live", { "aria-live": "polite", role: "status" });
    this.opening = new Opening(this.model, this.root);
    this.help = make("div", "ws-help", { hidden: "", role: "region", "aria-label": "Keys" }, pairs(KEYS));
    this.root.append(this.live, this.buildTitle(), this.buildControls(), this.help, this.buildList(), this.buildFoot());
    el.append(this.root);
  }

  buildTitle() {
    const { runs } = this;
    const failed = runs.status.split("").filter((one) => one === "e").length;
    const grave = Array.from({ length: runs.count }, (_, row) => row).filter((row) => worstOf(runs, row) === "error").length;
    const unexamined = runs.cluster.filter((cluster) => runs.clusters[cluster] === null).length;
    this.counted = make("span", "rl-counted");
    return make("header", "ws-title", make("h3", "ws-run", plural(runs.count, "run")),
      make("span", `ws-status ws-${failed ? "error" : grave ? "muted" : "ok"}`, failed ? `✕ ${number(failed)} failed` : grave ? "none failed" : "✓ none failed"),
      grave > 0 && make("span", "ws-count", `◆ ${number(grave)} with a grave finding`), this.counted,
      make("span", "ws-facts", unexamined > 0 && make("span", "", `${number(unexamined)} not examined yet: bench.detect()`)));
  }

  buildControls() {
    const { runs } = this;
    const count = (held) => Array.from({ length: runs.count }, (_, row) => row).filter(held).length;
    const statuses = Object.entries(STATUS).filter(([letter]) => runs.status.includes(letter)).map(([letter, name]) => {
      return [name, `${STATUS_GLYPH[name]} ${name === "error" ? "failed" : name} (${number(count((row) => runs.status[row] === letter))})`];
    });
    const agents = runs.agents.filter(Boolean).sort().map((name) => [name, name]);
    const detectors = runs.detectors.map((name, place) => [name, `${name} (${number(count((row) => runs.clusters[runs.cluster[row]]?.includes(place)))})`]).sort();
    this.search = focusable(make("input", "ws-search ws-filter", {
      type: "search", placeholder: "filter  /", "aria-label": "Filter runs by text", oninput: () => { setTrait(this.model, "words", this.search.value); this.refilter(); },
    }));
    const chooser = (trait, label, choices) => select(label, choices, (value) => { setTrait(this.model, trait, value); this.refilter(); });
    this.fields = {
      status: chooser("status", "Status", [["", "any status"], ...statuses]), agent: chooser("agent", "Agent", [["", "any agent"], ...agents]),
      detector: chooser("detector", "Detector", [["", "any finding"], ...detectors]), group: chooser("group", "Group", GROUPS),
    };
    return make("div", "ws-controls ws-filters", this.search, Object.values(this.fields), button("ws-button", "Keys (?)", "?", () => this.toggleHelp()));
  }

  buildList() {
    this.heads = COLUMNS.map(([name, label]) => button(`rl-sort rl-${name}`, "", label, () => this.sortBy(name)));
    const head = make("div", "ws-head rl-cols", { role: "group", "aria-label": "Sort" }, make("span"), this.heads, make("span", "rl-says", { "aria-hidden": "true" }, "outcome"));
    this.spacer = make("div", "ws-spacer", { role: "none" });
    this.list = focusable(make("div", "ws-list rl-list", {
      role: "listbox", "aria-label": "Runs", onscroll: () => this.drawSoon(), onclick: (event) => this.clicked(event), ondblclick: () => this.enter(),
    }, this.spacer), 0);
    this.empty = make("p", "ws-note rl-empty", { hidden: "" });
    return make("div", "rl-body", head, this.list, this.empty);
  }

  buildFoot() {
    this.codeLine = new CodeLine(this.model);
    this.comparing = button("ws-button", "Compare the marked runs below (C)", "compare", () => this.compare(), { hidden: "" });
    return make("footer", "ws-foot", {},
      make("span", "ws-hint", { "aria-hidden": "true" }, "j/k · Enter open · c mark · C compare · g group · / filter · ? keys"), this.opening.said, this.codeLine.parts, this.comparing);
  }

  listen() {
    const refilter = () => this.refilter();
    this.unfollow = follow(this.model, {
      "change:run_id": () => this.chooseRun(this.model.get("run_id"), false), "change:marked": () => this.drawMarks(),
      "change:words": refilter, "change:status": refilter, "change:agent": refilter, "change:detector": refilter, "change:sort": refilter, "change:group": refilter,
      "msg:custom": (answer) => this.opening.answered(answer),
    });
    listenToKeys(this.root, this.list, (event) => this.key(event));
    this.resized = new ResizeObserver(() => this.drawSoon());
    this.resized.observe(this.list);
    this.at = this.runs.rowOf.get(this.model.get("run_id")) ?? 0;
    this.refilter();
  }

  destroy() {
    this.unfollow();
    this.opening.stop();
    this.resized.disconnect();
    this.gone = true;
  }

  // ---- which runs are shown: numbers are rows, strings are groups

  refilter() {
    const state = Object.fromEntries(["words", "status", "agent", "detector", "sort", "group"].map((name) => [name, this.model.get(name)]));
    for (const [name, field] of Object.entries(this.fields)) fill(field, state[name]);
    if (this.search.value !== state.words) this.search.value = state.words;
    this.rows = this.sorted(this.matching(state), state.sort);
    this.groups = this.grouped(this.rows, state.group);
    if (state.group !== this.group) this.folded = new Set([...this.groups.keys()].filter((name) => !this.groups.get(name).rows.includes(this.at)));
    this.group = state.group;
    this.reflow();
    this.drawHeads(state.sort);
    this.reveal();
  }

  matching({ words, status, agent, detector }) {
    const { runs } = this;
    const needle = words.trim().toLowerCase();
    const clusters = detector && new Set(runs.clusters.flatMap((names, place) => (names?.some((name) => runs.detectors[name] === detector) ? [place] : [])));
    const holds = (row) => (!status || statusOf(runs, row) === status) && (!agent || agentOf(runs, row) === agent)
      && (!clusters || clusters.has(runs.cluster[row])) && (!needle || this.haystack(row).includes(needle));
    return Array.from({ length: runs.count }, (_, row) => row).filter(holds);
  }

  haystack(row) {
    this.haystacks ??= [];
    const { runs } = this;
    return (this.haystacks[row] ??= [runs.ids[row], agentOf(runs, row), statusOf(runs, row), runs.says[row] ?? "", ...(detectorsOf(runs, row) ?? [])].join(" ").toLowerCase());
  }

  // What was not recorded comes last, whichever way one sorts.
  sorted(rows, sort) {
    if (!sort) return rows;
    const [value, sign] = [VALUES[sort.replace("-", "")], sort.startsWith("-") ? -1 : 1];
    const keys = new Map(rows.map((row) => [row, value(this.runs, row)]));
    const compare = (a, b) => (a === b ? 0 : a === null ? 1 : b === null ? -1 : a < b ? -sign : sign);
    return rows.sort((a, b) => compare(keys.get(a), keys.get(b)));
  }

  // The groups with the most failed runs first, then those with the most grave findings, then the largest.
  grouped(rows, by) {
    const groups = new Map();
    if (!by) return groups;
    for (const row of rows) {
      const name = this.groupOf(row, by);
      if (!groups.has(name)) groups.set(name, { rows: [], failed: 0, grave: 0 });
      groups.get(name).rows.push(row);
      groups.get(name).failed += this.runs.status[row] === "e";
      groups.get(name).grave += worstOf(this.runs, row) === "error";
    }
    return new Map([...groups].sort(([, a], [, b]) => b.failed - a.failed || b.grave - a.grave || b.rows.length - a.rows.length));
  }

  groupOf(row, by) {
    const { runs } = this;
    if (by === "agent") return agentOf(runs, row) || "no agent recorded";
    if (by === "status") return statusOf(runs, row);
    const names = detectorsOf(runs, row);
    return names === null ? "not examined" : names.join(" + ") || "no findings";
  }

  reflow() {
    const unfolded = () => [...this.groups].flatMap(([name, { rows }]) => [name, ...(this.folded.has(name) ? [] : rows)]);
    this.shown = this.group ? unfolded() : this.rows;
    this.place = new Map(this.shown.map((item, place) => [item, place]));
    this.spacer.style.height = `${this.shown.length * ROW}px`;
    this.tellCount();
  }

  tellCount() {
    const count = this.rows.length;
    const all = count === this.runs.count;
    this.counted.textContent = all ? "" : `${number(count)} shown`;
    this.empty.hidden = count > 0;
    this.empty.textContent = this.runs.count ? "No run matches. Esc in the filter clears the words." : "No runs in this store yet: bench.ingest(PATH) reads traces into it.";
    if (!all) this.say(`${plural(count, "run")} shown`);
  }

  // ---- choosing

  choose(item, tell = true) {
    if (item === undefined) return;
    this.at = item;
    if (tell && typeof item === "number") setTrait(this.model, "run_id", this.runs.ids[item]);
    this.reveal();
    this.say(this.sentence(item));
  }

  chooseRun(run_id, tell = true) {
    const row = this.runs.rowOf.get(run_id);
    if (row === undefined || row === this.at) return;
    if (this.group) this.folded.delete(this.groupOf(row, this.group));
    this.reflow();
    this.choose(row, tell);
  }

  move(by) {
    const place = this.place.get(this.at) ?? -Math.sign(by);
    this.choose(this.shown[Math.min(this.shown.length - 1, Math.max(0, place + by))]);
  }

  next(holds, by) {
    const rows = this.shown.filter((item) => typeof item === "number" && holds(item));
    const here = this.place.get(this.at) ?? -1;
    const after = by > 0 ? rows.find((row) => this.place.get(row) > here) : rows.findLast((row) => this.place.get(row) < here);
    this.choose(after ?? rows.at(by > 0 ? 0 : -1));
  }

  enter() {
    if (typeof this.at === "string") this.toggle(this.at);
    else if (this.runs.count) this.opening.open(this.runs.ids[this.at]);
  }

  mark() {
    if (typeof this.at !== "number" || !this.runs.count) return;
    const id = this.runs.ids[this.at];
    const marked = this.model.get("marked");
    setTrait(this.model, "marked", marked.includes(id) ? marked.filter((other) => other !== id) : [...marked, id]);
    this.say(`${id} ${marked.includes(id) ? "no longer marked" : "marked"}`);
    this.drawMarks();
  }

  compare() {
    const marked = this.model.get("marked");
    if (marked.length > 1 && this.runs.comparable) this.opening.ask({ ask: "compare", run_ids: marked });
    else this.say("Mark two runs or more to compare them");
  }

  toggle(name, fold = !this.folded.has(name)) {
    if (fold) this.folded.add(name);
    else this.folded.delete(name);
    this.at = name;
    this.reflow();
    this.reveal();
  }

  say(text) {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => { this.live.textContent = visible(text); }, 250);
  }

  sentence(item) {
    if (!this.runs.count) return "No runs.";
    if (typeof item === "string") return `Group ${item}: ${plural(this.groups.get(item).rows.length, "run")}, ${number(this.groups.get(item).failed)} failed`;
    const { runs } = this;
    const names = detectorsOf(runs, item);
    const found = names === null ? "not examined" : names.length ? `${plural(runs.findings[item], "finding")}: ${names.join(", ")}` : "no findings";
    const marked = this.model.get("marked").includes(runs.ids[item]) ? ", marked" : "";
    return `Run ${runs.ids[item]}, ${statusOf(runs, item)}, ${agentOf(runs, item)}, ${duration((runs.took_ms[item] ?? NaN) * 1000)}, ${found}${marked}`;
  }

  code() {
    const marked = this.model.get("marked").map((id) => this.runs.rowOf.get(id));
    if (marked.length > 1) return `wb.compare(${marked.map((row) => codeOf(this.runs, row)).join(", ")})`;
    const row = this.runs.rowOf.get(this.model.get("run_id"));
    return row === undefined ? "bench.view()" : `${codeOf(this.runs, row)}.view()`;
  }

  // ---- sorting

  sortBy(name) {
    const sort = this.model.get("sort");
    const order = WIDEST_FIRST.has(name) ? [`-${name}`, name, ""] : [name, `-${name}`, ""];
    setTrait(this.model, "sort", order[(order.indexOf(sort) + 1) % 3]);
    this.refilter();
    this.list.scrollTop = 0;
    this.drawRows();
  }

  drawHeads(sort) {
    for (const [place, [name, label, title]] of COLUMNS.entries()) {
      const [arrow, way] = { [name]: [" ↑", ", sorted upwards"], [`-${name}`]: [" ↓", ", sorted downwards"] }[sort] ?? ["", ""];
      const head = this.heads[place];
      head.textContent = `${label}${arrow}`;
      head.title = `Sort by ${label}${way}${title ? `: ${title}` : ""}`;
      head.setAttribute("aria-label", head.title);
      head.setAttribute("aria-pressed", String(Boolean(way)));
    }
  }

  // ---- rows

  drawSoon() {
    this.soon("rows", () => this.gone || this.drawRows());
  }

  reveal() {
    scrollIntoSight(this.list, ROW, this.place.get(this.at) ?? 0);
    this.drawMarks();
  }

  drawMarks() {
    this.drawRows();
    this.codeLine.show(this.code());
    this.comparing.hidden = this.model.get("marked").length < 2 || !this.runs.comparable;
  }

  drawRows() {
    const marked = new Set(this.model.get("marked"));
    const [first, last] = inSight(this.list, ROW, this.shown.length);
    placeRows(this.list, this.spacer, this.shown.slice(first, last).map((item, offset) => this.drawItem(item, first + offset, marked)));
  }

  drawItem(item, place, marked) {
    const group = typeof item === "string";
    const element = make("div", `ws-row ${group ? "rl-group" : `rl-cols ws-${statusOf(this.runs, item)}`}`, {
      role: "option", id: `${this.id}-${place}`, "data-place": place, "aria-posinset": place + 1, "aria-setsize": this.shown.length, "aria-selected": String(item === this.at), "aria-label": this.sentence(item),
    }, group ? this.drawGroup(item) : this.drawCells(item, marked));
    element.style.transform = `translateY(${place * ROW}px)`;
    return element;
  }

  drawGroup(name) {
    const { rows, failed } = this.groups.get(name);
    return make("span", "rl-group-cell", make("span", "ws-twisty", this.folded.has(name) ? "▸" : "▾"), bdi(name, "rl-group-name", { title: name }),
      muted(plural(rows.length, "run")), failed > 0 && make("span", "ws-status ws-error", `✕ ${number(failed)}`));
  }

  drawCells(row, marked) {
    const { runs } = this;
    const id = runs.ids[row];
    const status = statusOf(runs, row);
    const cell = (name, title, ...content) => make("span", `rl-${name}`, { title }, content);
    const says = runs.says[row];
    return [
      cell("mark", marked.has(id) ? "marked for a comparison" : null, marked.has(id) && "◉"),
      cell("status", status, STATUS_GLYPH[status]),
      cell("run", runs.forked_from[row] ? `${id}, a fork of ${runs.forked_from[row]}` : id, runs.forked_from[row] && muted("⑂ "), make("bdi", "rl-open", { "data-open": "" }, id)),
      cell("agent", agentOf(runs, row), bdi(agentOf(runs, row) || "–")),
      cell("started", Number.isNaN(runs.start[row]) ? "not recorded" : `${when(runs.start[row])} UTC`, when(runs.start[row], runs.oneDay)),
      this.measure("took", duration((runs.took_ms[row] ?? NaN) * 1000), runs.took_ms[row]),
      cell("steps", null, number(runs.steps[row])),
      this.measure("tokens", compact(runs.tokens[row]), runs.tokens[row]),
      this.measure("cost", runs.cost[row] === null ? "–" : money(runs.cost[row]), runs.cost[row]),
      this.drawFindings(row),
      cell("says", says ?? "open the run to read it", says === undefined ? muted("…") : bdi(says)),
    ];
  }

  // A number over a bar as long as its share of the largest.
  measure(name, text, value) {
    const bar = make("span", "rl-bar", { "aria-hidden": "true" });
    bar.style.width = `${value === null || !this.runs.most[name] ? 0 : (value / this.runs.most[name]) * 100}%`;
    return make("span", `rl-${name} rl-measure`, { title: value === null ? "not recorded" : null }, bar, make("span", "rl-number", text));
  }

  drawFindings(row) {
    const names = detectorsOf(this.runs, row);
    const severity = worstOf(this.runs, row);
    const shown = names === null ? muted("not examined") : names.length ? [
      make("span", `ws-severity ws-${severity}`, `${SEVERITY_GLYPH[severity]} ${number(this.runs.findings[row])}`), " ", bdi(names.join(", "))] : muted("–");
    return make("span", "rl-findings", { title: names?.join(", ") || null }, shown);
  }

  clicked(event) {
    const element = event.target.closest("[data-place]");
    if (!element) return;
    this.list.focus({ preventScroll: true });
    const item = this.shown[Number(element.dataset.place)];
    if (typeof item === "string") return this.toggle(item);
    this.choose(item);
    if (event.target.closest("[data-open]")) this.enter();
    else if (event.target.closest(".rl-mark")) this.mark();
  }

  // ---- keys

  key(event) {
    const { target, key } = event;
    if (target === this.search) return this.searchKey(key);
    if (target.matches("select")) return key === "Escape" ? () => this.list.focus() : undefined;
    if (target !== this.list && ["Enter", " "].includes(key)) return undefined;
    return this.listKey(key);
  }

  searchKey(key) {
    return {
      Escape: () => { setTrait(this.model, "words", ""); this.refilter(); this.list.focus(); },
      Enter: () => { this.list.focus(); if (!this.place.has(this.at)) this.choose(this.shown[0]); },
      ArrowDown: () => { this.list.focus(); if (!this.place.has(this.at)) this.choose(this.shown[0]); },
    }[key];
  }

  listKey(key) {
    const page = Math.max(1, Math.floor(this.list.clientHeight / ROW) - 1);
    const { runs } = this;
    const failed = (row) => runs.status[row] === "e";
    const found = (row) => runs.findings[row] > 0;
    return {
      j: () => this.move(1), ArrowDown: () => this.move(1), k: () => this.move(-1), ArrowUp: () => this.move(-1), PageDown: () => this.move(page), PageUp: () => this.move(-page),
      Home: () => this.choose(this.shown[0]), End: () => this.choose(this.shown.at(-1)), Enter: () => this.enter(), c: () => this.mark(), C: () => this.compare(),
      e: () => this.next(failed, 1), E: () => this.next(failed, -1), n: () => this.next(found, 1), N: () => this.next(found, -1),
      g: () => this.cycle(), ArrowLeft: () => this.foldHere(true), ArrowRight: () => this.foldHere(false), y: () => this.codeLine.copy(), Y: () => this.codeLine.insert(),
      "/": () => { this.search.focus(); this.search.select(); }, "?": () => this.toggleHelp(), Escape: () => { this.help.hidden = true; this.list.focus(); },
    }[key];
  }

  cycle() {
    const place = GROUPS.findIndex(([name]) => name === this.group);
    setTrait(this.model, "group", GROUPS[(place + 1) % GROUPS.length][0]);
    this.refilter();
  }

  foldHere(fold) {
    if (!this.group || !this.shown.length) return;
    this.toggle(typeof this.at === "string" ? this.at : this.groupOf(this.at, this.group), fold);
  }

  toggleHelp() {
    this.help.hidden = !this.help.hidden;
  }
}

export default {
  render({ model, el }) {
    const view = new RunListView(model, el);
    return () => view.destroy();
  },
};
