// Rows as a tree: the steps of a run by themselves, and all its spans with the steps among them. After elements.js, before stepper.js.
//
// A row is a number: the steps come first, by their places, then the spans that are no step, in the order of the tree. A place is where a row stands.

const KINDS = {
  m: ["model", "✦"], t: ["tool", "⚒"], h: ["human", "◉"], n: ["node", "▢"], r: ["retrieval", "⌕"], a: ["agent", "◈"], p: ["transport", "⇄"], e: ["embedding", "≈"],
  o: ["span", "∙"],
};
const STATUS = { o: ["ok", "✓"], e: ["error", "✕"], i: ["interrupted", "‖"], r: ["running", "…"], c: ["cancelled", "⊘"] };
const NO_TREE = { count: 0, step: [], level: [], kind: "", status: "", names: [], name: [], start_us: [], took_us: [] };
const LOST = { parent: "parent not recorded", circle: "parents in a circle" };

// `end` is the place after the last deeper row, `parent` the place it hangs under (-1: none), `nth` its number among those, `kids` how many each has.
class Shape {
  constructor(rows, level, total) {
    const count = rows.length;
    const places = () => new Int32Array(count);
    Object.assign(this, { rows, level, at: new Int32Array(total).fill(-1), end: places(), parent: places(), nth: places(), kids: new Int32Array(count + 1) });
    const open = [];
    for (let place = 0; place <= count; place++) {
      const depth = place < count ? level[place] : -1;
      while (open.length && level[open[open.length - 1]] >= depth) this.end[open.pop()] = place;
      if (place === count) break;
      this.parent[place] = open.length ? open[open.length - 1] : -1;
      this.nth[place] = ++this.kids[this.parent[place] + 1];
      this.at[rows[place]] = place;
      open.push(place);
    }
  }

  folds(row) {
    return this.hidden(row) > 0;
  }

  hidden(row) {
    return this.end[this.at[row]] - this.at[row] - 1;
  }

  above(row) {
    const parent = this.parent[this.at[row]];
    return parent < 0 ? -1 : this.rows[parent];
  }

  // Places for which `holds(row, next)`, given the next such place of which `counts(row)`: so one pass from the end knows what is below.
  where(counts, holds) {
    const found = [];
    for (let place = this.rows.length - 1, next = Infinity; place >= 0; place--) {
      if (holds(this.rows[place], next < this.end[place])) found.push(place);
      if (counts(this.rows[place])) next = place;
    }
    return found.reverse();
  }
}

function unpack(outline, tree) {
  const cols = outline.steps;
  const count = cols.kind.length;
  const total = count + tree.kind.length;
  const run = { ...outline, cols, tree, count, kinds: cols.kind + tree.kind, statuses: cols.status + tree.status, start: new Float64Array(total), took: new Float64Array(total), until: 0 };
  placeInTime(run, cols, 0);
  placeInTime(run, tree, count);
  let next = count;
  run.steps = new Shape(Int32Array.from({ length: count }, (_, row) => row), cols.depth, total);
  run.spans = new Shape(Int32Array.from(tree.step, (step) => (step < 0 ? next++ : step)), tree.level, total);
  run.rowOf = new Map(Array.from({ length: count }, (_, row) => [indexOf(run, row), row]));
  run.marks = marks(run);
  for (const shape of [run.steps, run.spans]) {
    const failed = (row) => run.statuses[row] === "e";
    shape.errors = shape.where(failed, (row, below) => failed(row) && (row < count || !below));
    shape.marked = shape.where(() => false, (row) => run.marks.has(row));
  }
  // Below which no step stands: folded until one asks for it.
  run.quiet = new Set(run.spans.where((row) => row < count, (row, below) => !below).map((place) => run.spans.rows[place]).filter((row) => run.spans.folds(row)));
  return run;
}

function indexOf(run, row) {
  return run.cols.index ? run.cols.index[row] : row;
}

function placeInTime(run, { start_us, took_us }, first) {
  let last = 0;
  for (const [place, delta] of start_us.entries()) {
    const row = first + place;
    run.start[row] = delta === null ? NaN : (last += delta);
    run.took[row] = took_us[place] ?? NaN;
    if (delta !== null) run.until = Math.max(run.until, last + Math.max(0, run.took[row] || 0));
  }
}

// The severest finding of each row.
function marks(run) {
  const worst = new Map();
  for (const finding of run.findings) {
    const row = run.rowOf.get(finding.step);
    if (row === undefined) continue;
    if (!worst.has(row) || SEVERITY_RANK[finding.severity] > SEVERITY_RANK[worst.get(row)]) worst.set(row, finding.severity);
  }
  return worst;
}

const isStep = (run, row) => row < run.count;
const nameOf = (run, row) => (isStep(run, row) ? run.cols.names[run.cols.name[row]] : run.tree.names[run.tree.name[row - run.count]]);
const kindOf = (run, row) => KINDS[run.kinds[row]];
const statusOf = (run, row) => STATUS[run.statuses[row]];
const placeOf = (run, row) => (isStep(run, row) ? run.cols.places[run.cols.place[row]] : kindOf(run, row)[0]);

// Ids travel as eight bytes each, zeros where there is none, or as texts, or not at all.
function idOf({ tree }, place) {
  if (typeof tree.ids !== "string") return tree.ids?.[place] ?? "";
  tree.bytes ??= atob(tree.ids);
  const id = Array.from(tree.bytes.slice(place * 8, place * 8 + 8), (byte) => byte.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  return /[^0]/.test(id) ? id : "";
}

// To which step a span that is none belongs, and how: it tells of the same call, is inside, around, or after it.
function owner(run, row) {
  const { spans, tree, count } = run;
  const place = spans.at[row];
  const same = tree.same_as[row - count];
  if (same !== undefined) return { how: "A wrapper or another record of the call that is ", row: run.rowOf.get(same) };
  for (let up = spans.parent[place]; up >= 0; up = spans.parent[up]) if (spans.rows[up] < count) return { how: "Inside ", row: spans.rows[up] };
  const within = spans.rows.subarray(place, spans.end[place]).filter((one) => one < count);
  if (within.length) return { how: "Around ", row: within[0], more: within.length - 1 };
  const before = spans.rows.subarray(0, place).findLast((one) => one < count);
  return before === undefined ? { how: "Before ", row: 0 } : { how: "Beside the steps, after ", row: before };
}

function badgesOf(run, row, every) {
  const { tree, count } = run;
  const same = tree.same_as?.[row - count];
  const attempt = tree.attempt?.[row - count];
  const told = isStep(run, row) ? (run.cols.badges[row] ?? []) : [same !== undefined && `= step ${same}`, attempt && `attempt ${number(attempt)}`];
  return [...told, every && LOST[tree.lost[run.spans.at[row]]]].filter(Boolean);
}
