// JSON as one types it: read with the place of what is wrong, written as a Python literal, and what differs between two values or two texts.
// Numbers are kept as they are written, for a browser's own have fewer digits than Python's; objects are Maps, so that no key is special.

const MOST_DEPTH = 200;
const MOST_LINES = 200;
// of words held against each other: more takes longer than a key press
const MOST_PAIRS = 250000;

class Num {
  constructor(text) {
    this.text = text;
  }
}

class JsonFault extends Error {
  constructor(says, at) {
    super(says);
    this.at = at;
  }
}

// Line and column of a place in a text, both from 1.
function placeIn(text, at) {
  const before = text.slice(0, at);
  return { line: before.split("\n").length, column: at - before.lastIndexOf("\n") };
}

// Gives the value, or throws a JsonFault that says what is wrong and where.
function readJson(text) {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.space();
  if (reader.at < text.length) reader.wrong("the value has ended: nothing may follow it");
  return value;
}

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  wrong(says, at = this.at) {
    throw new JsonFault(says, at);
  }

  space() {
    while (/[ \t\n\r]/.test(this.text[this.at] ?? "")) this.at++;
  }

  value(depth) {
    if (depth > MOST_DEPTH) this.wrong("nested too deeply");
    this.space();
    const first = this.text[this.at];
    if (first === "{") return this.object(depth);
    if (first === "[") return this.array(depth);
    if (first === '"') return this.string();
    return this.word();
  }

  word() {
    const [found] = /^[^\s,\]}[{:"]*/.exec(this.text.slice(this.at, this.at + 400));
    if (!found) return this.wrong(this.at >= this.text.length ? "a value is missing at the end" : "a value is missing here");
    const known = { true: true, false: false, null: null };
    if (Object.hasOwn(known, found)) return this.take(found, known[found]);
    if (/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(found)) return this.take(found, new Num(found));
    const meant = { True: "true", False: "false", None: "null", undefined: "null" }[found];
    if (meant) this.wrong(`${found} is no JSON: write ${meant}`);
    if (found.startsWith("'")) this.wrong('texts stand in double quotes: "…"');
    return this.wrong(/^[-+.\d]/.test(found) ? `${found.slice(0, 20)} is no JSON number` : `${found.slice(0, 20)} is no JSON: texts stand in double quotes`);
  }

  take(found, value) {
    this.at += found.length;
    return value;
  }

  string() {
    const start = this.at;
    for (let end = start + 1; end < this.text.length; end++) {
      if (this.text[end] === "\n") this.wrong("the text does not end on its line: write \\n for a line break", start);
      if (this.text[end] === "\\") end++;
      else if (this.text[end] === '"') return this.unescaped(start, end + 1);
    }
    return this.wrong("this text does not end: a double quote is missing", start);
  }

  unescaped(start, end) {
    try {
      const value = JSON.parse(this.text.slice(start, end));
      this.at = end;
      return value;
    } catch (refused) {
      return this.wrong("an escape or a control character in this text is no JSON", start);
    }
  }

  array(depth) {
    const found = [];
    this.at++;
    this.space();
    if (this.text[this.at] === "]") return this.take("]", found);
    for (;;) {
      found.push(this.value(depth + 1));
      if (this.next("]")) return found;
    }
  }

  object(depth) {
    const found = new Map();
    this.at++;
    this.space();
    if (this.text[this.at] === "}") return this.take("}", found);
    for (;;) {
      this.space();
      const at = this.at;
      if (this.text[at] !== '"') this.wrong(this.text[at] === undefined ? "the object does not end: } is missing" : "a key in double quotes is missing here");
      const key = this.string();
      if (found.has(key)) this.wrong(`the key ${JSON.stringify(key)} stands here a second time`, at);
      this.space();
      if (this.text[this.at] !== ":") this.wrong("after a key comes a colon");
      this.at++;
      found.set(key, this.value(depth + 1));
      if (this.next("}")) return found;
    }
  }

  // Whether the list or object ends here; else there is a comma and something after it.
  next(end) {
    this.space();
    const here = this.text[this.at];
    if (here === end) return this.take(end, true);
    if (here !== ",") this.wrong(here === undefined ? `${end} is missing at the end` : `a comma or ${end} is missing here`);
    const comma = this.at++;
    this.space();
    if (this.text[this.at] === end) this.wrong("nothing follows this comma: take it away", comma);
    return false;
  }
}

function jsonText(value) {
  if (value instanceof Num) return value.text;
  if (value instanceof Map) return `{${[...value].map(([key, inner]) => `${JSON.stringify(key)}: ${jsonText(inner)}`).join(", ")}}`;
  return Array.isArray(value) ? `[${value.map(jsonText).join(", ")}]` : JSON.stringify(value);
}

// ---- Python

const HARMLESS = /^(?:[^\p{C}\p{Z}"\\]| )*$/u;

// A text as a literal that Python reads as just that text: what can't be seen, or could end it, is escaped.
function pythonText(text) {
  if (HARMLESS.test(text)) return `"${text}"`;
  const escaped = [...text].map((char) => {
    if (char === '"' || char === "\\") return `\\${char}`;
    if (char === "\n") return "\\n";
    if (HARMLESS.test(char)) return char;
    const code = char.codePointAt(0);
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
  return `"${escaped.join("")}"`;
}

function python(value) {
  if (value === null) return "None";
  if (value instanceof Num) return value.text;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return pythonText(value);
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  return `{${[...value].map(([key, inner]) => `${pythonText(key)}: ${python(inner)}`).join(", ")}}`;
}

// ---- what differs

const GONE = Symbol("not there");

// Lines [sign, path, value] from one value to another, as difference.py has them: the smallest parts that differ, lists matched from both ends.
function valueLines(before, after, path = "", found = []) {
  if (found.length >= MOST_LINES) return found;
  if (before instanceof Map && after instanceof Map) {
    for (const key of new Set([...after.keys(), ...before.keys()])) {
      const inner = (side) => (side.has(key) ? side.get(key) : GONE);
      valueLines(inner(before), inner(after), path ? `${path}.${key}` : key, found);
    }
  } else if (Array.isArray(before) && Array.isArray(after)) {
    itemLines(before, after, path, found);
  } else if (!alike(before, after)) {
    if (before !== GONE) found.push(["-", path, before]);
    if (after !== GONE) found.push(["+", path, after]);
  }
  return found;
}

function itemLines(before, after, path, found) {
  const [head, tail] = sharedEnds(before, after, alike);
  const many = Math.max(before.length, after.length) - tail;
  for (let place = head; place < many; place++) {
    const inner = (side) => (place < side.length - tail ? side[place] : GONE);
    valueLines(inner(before), inner(after), `${path}[${place}]`, found);
  }
}

function alike(one, other) {
  return (one === GONE) === (other === GONE) && (one === GONE || canonicalText(one) === canonicalText(other));
}

function canonicalText(value) {
  if (value instanceof Map) return `{${[...value.keys()].sort().map((key) => `${JSON.stringify(key)}:${canonicalText(value.get(key))}`)}}`;
  return Array.isArray(value) ? `[${value.map(canonicalText)}]` : jsonText(value);
}

// How many items two lists share at their beginnings, and of the rest at their ends.
function sharedEnds(before, after, same) {
  const most = Math.min(before.length, after.length);
  let head = 0;
  while (head < most && same(before[head], after[head])) head++;
  let tail = 0;
  while (tail < most - head && same(before.at(-1 - tail), after.at(-1 - tail))) tail++;
  return [head, tail];
}

// Two texts as pieces [sign, text]: "=" what both have, "-" what only the first has, "+" what only the second has. By words; of long texts that differ
// all over, as one piece.
function textPieces(before, after) {
  const words = (text) => text.match(/\n|[^\S\n]+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];
  const [one, other] = [words(before), words(after)];
  const [head, tail] = sharedEnds(one, other, (a, b) => a === b);
  const [mine, theirs] = [one.slice(head, one.length - tail), other.slice(head, other.length - tail)];
  const found = mine.length * theirs.length > MOST_PAIRS ? [] : matched(mine, theirs);
  const between = alikeEnough(found) ? found : [["-", mine.join("")], ["+", theirs.join("")]];
  const pieces = [["=", one.slice(0, head).join("")], ...between, ["=", one.slice(one.length - tail).join("")]];
  return pieces.filter(([, text]) => text);
}

// Whether pieces share enough that one reads them with gain: of texts that have little more than spaces in common each is shown as a whole.
function alikeEnough(pieces) {
  const length = (signs) => pieces.reduce((sum, [sign, text]) => sum + (signs.includes(sign) ? text.replace(/\s/g, "").length : 0), 0);
  return length("=") * 4 >= Math.min(length("-"), length("+"));
}

// The longest common subsequence of two lists of words, as pieces.
function matched(one, other) {
  const width = other.length + 1;
  const lengths = new Uint32Array((one.length + 1) * width);
  for (let i = one.length - 1; i >= 0; i--) {
    for (let j = other.length - 1; j >= 0; j--) {
      const here = i * width + j;
      lengths[here] = one[i] === other[j] ? lengths[here + width + 1] + 1 : Math.max(lengths[here + width], lengths[here + 1]);
    }
  }
  const pieces = [];
  const add = (sign, word) => (pieces.at(-1)?.[0] === sign ? (pieces.at(-1)[1] += word) : pieces.push([sign, word]));
  let [i, j] = [0, 0];
  while (i < one.length && j < other.length) {
    const here = i * width + j;
    if (one[i] === other[j]) [i, j] = [add("=", one[i]) && i + 1, j + 1];
    else if (lengths[here + width] >= lengths[here + 1]) add("-", one[i++]);
    else add("+", other[j++]);
  }
  while (i < one.length) add("-", one[i++]);
  while (j < other.length) add("+", other[j++]);
  return pieces;
}

// ---- shown

// Long stretches that both sides share are cut down to their ends.
function piecesShown(pieces) {
  const kept = (text, place, last) => {
    if (text.length <= 240) return text;
    return `${place ? text.slice(0, 100) : ""} … ${number(text.length - 200)} characters the same … ${place === last ? "" : text.slice(-100)}`;
  };
  return make("pre", "ws-text ws-pieces", pieces.map(([sign, text], place) => {
    if (sign === "=") return kept(text, place, pieces.length - 1);
    return make(sign === "-" ? "del" : "ins", sign === "-" ? "ws-removed" : "ws-added", text);
  }));
}

function linesShown(lines) {
  return make("div", "ws-diff", { role: "list" }, lines.map(([sign, path, value]) => {
    const added = sign === "+";
    const text = typeof value === "string" ? JSON.stringify(value) : jsonText(value);
    return make("div", `ws-line ws-${added ? "added" : "removed"}`, { role: "listitem", "aria-label": `${added ? "added" : "removed"} ${path}` },
      make("span", "ws-sign", added ? "+" : "−"), bdi(path || "the value", "ws-path"),
      make("span", "ws-value", coloured(text.slice(0, 600)), text.length > 600 && muted(` … ${number(text.length - 600)} more characters`)));
  }));
}
