// The runs of a store as a list. Plain ESM for anywidget, after elements.js, opening.js and filtered.js.
//
// The model holds `_table` (counts and names), `_rows` (the columns of the first runs, packed, failed runs first) and what was chosen: `run_id`, `marked`,
// `words`, `status`, `agent`, `detector`, `sort`, `group`. The rest of the runs is fetched while the kernel is free. Filtering, sorting and grouping happen
// here, over the runs that are here; opening a run asks the kernel.

const STATUS = { o: "ok", e: "error", i: "interrupted", r: "running", c: "cancelled" };
const SEVERITY = { e: "error", w: "warning", i: "info" };
const GROUPS = [["", "no groups"], ["findings", "by findings"], ["agent", "by agent"], ["status", "by status"]];
const HEADS = [
  ["status", "•", "how it ended"], ["run", "run"], ["agent", "agent"], ["started", "started", "in UTC"], ["took", "took", "from the first start to the last end, waiting for people included"],
  ["steps", "steps"], ["tokens", "tokens"], ["cost", "cost"], ["findings", "findings"],
];
const WIDEST_FIRST = new Set(["started", "took", "steps", "tokens", "cost", "findings", "status"]);
const KEYS = [
  ["j ↓, k ↑", "next, previous run"], ["Enter", "open the run below"], ["c, C", "mark for a comparison, compare the marked below"], ["e, Shift e", "next, previous failed run"],
  ["n, Shift n", "next, previous run with findings"], ["g", "group: by findings, agent, status"], ["←, →", "fold, unfold a group"],
];

// ---- the runs

const COLUMNS = ["ids", "agent", "status", "start", "took_ms", "steps", "tokens", "cost", "cluster", "findings", "worst", "says"];

// A run is a row, a number. `count` is how many there are, `ids.length` how many of them are here.
class Runs {
  constructor(table) {
    Object.assign(this, table, { rowOf: new Map(), literals: [], forked_from: [], partly: [], most: { took_ms: 0, tokens: 0, cost: 0 }, days: new Set() });
    for (const name of COLUMNS) this[name] = [];
  }

  // Take in packed columns of the runs that follow: base64 of deflated JSON, which holds three to five times as much as it weighs.
  async take(packed) {
    for (const columns of await Promise.all(packed.map(inflated))) this.append(columns);
  }

  append(columns) {
    const first = this.ids.length;
    let last = this.base_us;
    columns.start = columns.start_us.map((delta) => (delta === null ? NaN : (last += delta)));
    for (const name of COLUMNS) for (const value of columns[name]) this[name].push(value);
    for (const name of ["literals", "forked_from", "partly"]) for (const [offset, told] of Object.entries(columns[name])) this[name][first + Number(offset)] = told;
    for (const name of Object.keys(this.most)) this.most[name] = columns[name].reduce((top, value) => (value > top ? value : top), this.most[name]);
    for (const us of columns.start) if (!Number.isNaN(us)) this.days.add(Math.floor(us / 8.64e10));
    for (let row = first; row < this.ids.length; row++) this.rowOf.set(this.ids[row], row);
  }
}

async function inflated(packed) {
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
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

class RunListView extends FilteredList {
  constructor(model, el, runs) {
    super(model, "rl", plural(runs.count, "run"), KEYS);
    this.runs = runs;
    this.folded = new Set();
    this.build(el);
    this.at = runs.rowOf.get(model.get("run_id")) ?? 0;
    const refilter = () => this.refilter();
    this.listen({
      "change:run_id": () => this.chooseRun(model.get("run_id"), false), "change:marked": () => this.drawMarks(), "change:sort": refilter,
      "msg:custom": (answer) => (answer.ask === "rows" ? this.arrived(answer) : this.opening.answered(answer)),
    });
    this.refilter();
    this.fetchMore();
  }

  // ---- what is where

  build(el) {
    this.root.append(this.live, this.buildTitle(), this.buildFilters(), this.help, this.buildBody(), this.buildFoot("j/k · Enter open · c mark · C compare · g group · / filter · ? keys", this.buildCompare()));
    el.append(this.root);
  }

  buildTitle() {
    const { count, statuses, grave, unexamined } = this.runs;
    const failed = statuses.error ?? 0;
    this.counted = make("span", "rl-counted");
    return make("header", "ws-title", make("h3", "ws-run", plural(count, "run")),
      count > 0 && make("span", failed ? "ws-status ws-error" : grave ? "ws-muted" : "ws-status ws-ok", failed ? `✕ ${number(failed)} failed` : grave ? "none failed" : "✓ none failed"),
      grave > 0 && make("span", "ws-count", `◆ ${number(grave)} with a grave finding`), this.counted,
      make("span", "ws-facts", unexamined > 0 && make("span", "", `${number(unexamined)} not examined yet: bench.detect()`)));
  }

  buildFilters() {
    const { statuses, agents, detectors, clusters, cluster_runs } = this.runs;
    const ended = Object.entries(statuses).map(([name, count]) => [name, `${STATUS_GLYPH[name]} ${name === "error" ? "failed" : name} (${number(count)})`]);
    const runsWith = (detector) => clusters.reduce((sum, names, place) => sum + (names?.includes(detector) ? cluster_runs[place] : 0), 0);
    const found = detectors.map((name, detector) => [name, `${name} (${number(runsWith(detector))})`]).sort();
    return this.buildControls("runs", {
      status: ["Status", [["", "any status"], ...ended]], agent: ["Agent", [["", "any agent"], ...agents.filter(Boolean).sort().map((name) => [name, name])]],
      detector: ["Detector", [["", "any finding"], ...found]], group: ["Group", GROUPS],
    });
  }

  buildBody() {
    this.heads = HEADS.map(([name, label]) => button(`rl-sort rl-${name}`, "", label, () => this.sortBy(name)));
    const says = make("span", "rl-says", { title: `The first ${this.runs.says_chars} characters of each; the filter looks in these` }, "outcome");
    return make("div", "rl-body", make("div", "ws-head rl-cols", { role: "group", "aria-label": "Sort" }, make("span"), this.heads, says), this.buildList("Runs"));
  }

  buildCompare() {
    return this.comparing = button("ws-button", "Compare the marked runs below (C)", "compare", () => this.compare(), { hidden: "" });
  }

  // ---- the runs that are not here yet

  fetchMore() {
    if (this.runs.ids.length < this.runs.count) this.model.send({ ask: "rows", first: this.runs.ids.length });
  }

  async arrived({ rows, first, error }) {
    if (this.gone || first !== this.runs.ids.length) return;
    if (error) return this.opening.answered({ ask: "open", error });
    const [top, groups] = [this.list.scrollTop, new Set(this.groups.keys())];
    await this.runs.take(rows);
    this.refilter();
    for (const name of this.groups.keys()) if (!groups.has(name)) this.folded.add(name);
    this.reflow();
    this.list.scrollTop = top;
    this.drawRows();
    this.chooseRun(this.model.get("run_id"), false);
    this.fetchMore();
  }

  // ---- which runs are shown: numbers are rows, strings are groups

  // Groups are folded when they come up, but for the one with the chosen run.
  refilter() {
    const state = this.filters();
    const sort = this.model.get("sort");
    this.rows = this.sorted(this.matching(state), sort);
    this.groups = this.grouped(this.rows, state.group);
    if (state.group !== this.group) this.folded = new Set([...this.groups.keys()].filter((name) => !this.groups.get(name).rows.includes(this.at)));
    this.group = state.group;
    this.reflow();
    this.drawHeads(sort);
    this.reveal();
  }

  matching({ needle, status, agent, detector }) {
    const { runs } = this;
    const clusters = detector && new Set(runs.clusters.flatMap((names, place) => (names?.some((name) => runs.detectors[name] === detector) ? [place] : [])));
    const holds = (row) => (!status || statusOf(runs, row) === status) && (!agent || agentOf(runs, row) === agent)
      && (!clusters || clusters.has(runs.cluster[row])) && (!needle || this.haystack(row).includes(needle));
    return [...runs.ids.keys()].filter(holds);
  }

  haystack(row) {
    this.haystacks ??= [];
    const { runs } = this;
    return (this.haystacks[row] ??= [runs.ids[row], agentOf(runs, row), statusOf(runs, row), runs.says[row], ...(detectorsOf(runs, row) ?? [])].join(" ").toLowerCase());
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
    this.show(this.group ? unfolded() : this.rows);
    this.tellCount();
  }

  tellCount() {
    const [shown, here, count] = [this.rows.length, this.runs.ids.length, this.runs.count];
    const said = [shown < here && `${number(shown)} shown`, here < count && `${number(here)} of ${number(count)} are here, the others come when the kernel is free`];
    this.counted.textContent = said.filter(Boolean).join(" · ");
    this.empty.hidden = shown > 0;
    this.empty.textContent = !count ? "No runs in this store yet: bench.ingest(PATH) reads traces into it." : here < count ? "None of the runs that are here matches."
      : "No run matches these filters.";
    if (shown < here) this.say(`${plural(shown, "run")} shown`);
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
    if (marked.length > 1 && !marked.includes(undefined)) return `wb.compare(${marked.map((row) => codeOf(this.runs, row)).join(", ")})`;
    const row = this.runs.rowOf.get(this.model.get("run_id"));
    return row === undefined ? "bench.view()" : `${codeOf(this.runs, row)}.view()`;
  }

  // ---- sorting

  sortBy(name) {
    const sort = this.model.get("sort");
    const order = WIDEST_FIRST.has(name) ? [`-${name}`, name, ""] : [name, `-${name}`, ""];
    this.set("sort", order[(order.indexOf(sort) + 1) % 3]);
    this.list.scrollTop = 0;
    this.drawRows();
  }

  drawHeads(sort) {
    for (const [place, [name, label, title]] of HEADS.entries()) {
      const [arrow, way] = { [name]: [" ↑", ", sorted upwards"], [`-${name}`]: [" ↓", ", sorted downwards"] }[sort] ?? ["", ""];
      const head = this.heads[place];
      head.textContent = `${label}${arrow}`;
      head.title = `Sort by ${label}${way}${title ? `: ${title}` : ""}`;
      head.setAttribute("aria-label", head.title);
      head.setAttribute("aria-pressed", String(Boolean(way)));
    }
  }

  // ---- rows

  reveal() {
    scrollIntoSight(this.list, ROW, this.place.get(this.at) ?? 0);
    this.drawMarks();
  }

  drawMarks() {
    this.drawRows();
    this.codeLine.show(this.code());
    this.comparing.hidden = this.model.get("marked").length < 2 || !this.runs.comparable;
  }

  rowClass(item) {
    return typeof item === "string" ? "rl-group" : `rl-cols ws-${statusOf(this.runs, item)}`;
  }

  drawCells(item) {
    return typeof item === "string" ? this.drawGroup(item) : this.drawRun(item);
  }

  drawGroup(name) {
    const { rows, failed } = this.groups.get(name);
    return make("span", "rl-group-cell", make("span", "ws-twisty", this.folded.has(name) ? "▸" : "▾"), bdi(name, "rl-group-name", { title: name }),
      muted(plural(rows.length, "run")), failed > 0 && make("span", "ws-status ws-error", `✕ ${number(failed)}`));
  }

  drawRun(row) {
    const { runs } = this;
    const id = runs.ids[row];
    const status = statusOf(runs, row);
    const cell = (name, title, ...content) => make("span", `rl-${name}`, { title }, content);
    const marked = this.model.get("marked").includes(id);
    return [
      cell("mark", marked ? "marked for a comparison" : null, marked && "◉"),
      cell("status", status, STATUS_GLYPH[status]),
      cell("run", runs.forked_from[row] ? `${id}, a fork of ${runs.forked_from[row]}` : id, runs.forked_from[row] && muted("⑂ "), make("bdi", "rl-open", { "data-open": "" }, id)),
      cell("agent", agentOf(runs, row), bdi(agentOf(runs, row) || "–")),
      cell("started", Number.isNaN(runs.start[row]) ? "not recorded" : `${when(runs.start[row])} UTC`, when(runs.start[row], runs.days.size < 2)),
      this.measure("took", duration((runs.took_ms[row] ?? NaN) * 1000), runs.took_ms[row], runs.most.took_ms),
      cell("steps", null, number(runs.steps[row])),
      this.measure("tokens", compact(runs.tokens[row]), runs.tokens[row], runs.most.tokens),
      this.drawCost(row),
      this.drawFindings(row),
      cell("says", runs.says[row], bdi(runs.says[row])),
    ];
  }

  // A sum that leaves model calls out is what the run cost at least.
  drawCost(row) {
    const { runs } = this;
    const [usd, partly] = [runs.cost[row], runs.partly[row]];
    const without = partly && `without ${number(partly[0])} of ${plural(partly[1], "model call")}, whose cost was not recorded`;
    return this.measure("cost", usd === null ? "–" : `${partly ? "≥ " : ""}${money(usd)}`, usd, runs.most.cost, without);
  }

  // A number over a bar as long as its share of the largest.
  measure(name, text, value, most, title = null) {
    const bar = make("span", "rl-bar", { "aria-hidden": "true" });
    bar.style.width = `${value === null || !most ? 0 : (value / most) * 100}%`;
    return make("span", `rl-${name} rl-measure`, { title: value === null ? "not recorded" : title }, bar, make("span", "rl-number", text));
  }

  drawFindings(row) {
    const names = detectorsOf(this.runs, row);
    const severity = worstOf(this.runs, row);
    const shown = names === null ? muted("not examined") : names.length ? [
      make("span", `ws-severity ws-${severity}`, `${SEVERITY_GLYPH[severity]} ${number(this.runs.findings[row])}`), " ", bdi(names.join(", "))] : muted("–");
    return make("span", "rl-findings", { title: names?.join(", ") || null }, shown);
  }

  clickedOn(item, target) {
    if (typeof item === "string") return this.toggle(item);
    this.choose(item);
    if (target.closest("[data-open]")) this.enter();
    else if (target.closest(".rl-mark")) this.mark();
  }

  // ---- keys

  ownKeys() {
    const { runs } = this;
    const failed = (item) => runs.status[item] === "e";
    const found = (item) => runs.findings[item] > 0;
    return {
      c: () => this.mark(), C: () => this.compare(), e: () => this.next(failed, 1), E: () => this.next(failed, -1), n: () => this.next(found, 1), N: () => this.next(found, -1),
      g: () => this.cycle(), ArrowLeft: () => this.foldHere(true), ArrowRight: () => this.foldHere(false),
    };
  }

  cycle() {
    const place = GROUPS.findIndex(([name]) => name === this.group);
    this.set("group", GROUPS[(place + 1) % GROUPS.length][0]);
    this.reveal();
  }

  foldHere(fold) {
    if (!this.group || !this.shown.length) return;
    this.toggle(typeof this.at === "string" ? this.at : this.groupOf(this.at, this.group), fold);
  }
}

export default {
  async render({ model, el }) {
    const runs = new Runs(model.get("_table"));
    await runs.take(model.get("_rows"));
    const view = new RunListView(model, el, runs);
    return () => view.destroy();
  },
};
