// The fork panel: one change at a step, what it will do, a re-run that can be stopped, and what came of it.
//
// Typing sends nothing: the text is checked, compared and turned into the line of code here. It goes to Python with what is chosen, as one message, when
// one leaves the editor, chooses something else, or re-runs. Everything a recording says reaches the page as text, by `make`.

const CHANGES = [["none", "nothing"], ["tool_result", "tool result"], ["message", "message"], ["state", "state"], ["model", "model"], ["system", "system prompt"],
  ["tools", "tools"], ["answer", "a person's answer"], ["fault", "fault"], ["http", "HTTP answer"]];
const FAULTS = ["timeout", "error", "empty", "slow"];
const BUDGET_WORDS = { model_calls: "model calls", tokens: "tokens", usd: "US$", seconds: "seconds", steps: "calls in all" };
const STAGE_WORDS = { running: "… running", stopping: "… stopping", failed: "✕ failed" };
const CHOSEN = ["step", "kind", "text", "as_text", "place", "live", "budget", "seconds", "graph", "trust", "context"];
// of longer texts a difference takes longer than a key press
const COMPARED_CHARS = 200000;

class ForkView {
  constructor(model, el) {
    this.model = model;
    this.id = `wf${Math.random().toString(36).slice(2)}`;
    this.drafts = {};
    this.soon = framed();
    this.questions = new Questions(model);
    this.build(el);
    const redraw = () => this.soon("all", () => this.draw());
    this.unfollow = follow(model, {
      ...Object.fromEntries(CHOSEN.filter((name) => name !== "text").map((name) => [`change:${name}`, redraw])),
      "change:text": () => { if (this.editor.value !== model.get("text")) redraw(); },
      "change:_offers": () => { this.drafts = {}; this.channels = undefined; this.drawn = undefined; redraw(); },
      "change:_forecast": () => this.drawForecast(), "change:_progress": () => this.drawProgress(), "change:_result": () => this.drawResult(),
      "change:stage": () => this.drawStage(), "msg:custom": (told) => this.told(told),
    });
    this.ticking = setInterval(() => this.drawProgress(), 500);
    this.draw();
    this.drawForecast();
    this.drawStage();
    this.drawResult();
    requestAnimationFrame(() => this.arrive());
  }

  // Opened with a key in a view above, it takes the keys.
  arrive() {
    if (!this.root.closest(".widget-vbox")?.contains(document.activeElement)) return;
    this.root.scrollIntoView({ block: "nearest" });
    this.steps.focus({ preventScroll: true });
  }

  destroy() {
    this.unfollow();
    clearInterval(this.ticking);
    this.questions.destroy();
  }

  get(name) {
    return this.model.get(name);
  }

  // ---- built once

  build(el) {
    this.root = make("section", "ws ws-fork", { "aria-label": `Fork run ${this.get("_offers").run_id}`, "data-lm-suppress-shortcuts": "true", tabindex: -1 });
    this.stage = make("span", "ws-status", { role: "status" });
    this.steps = focusable(make("select", "ws-select", { "aria-label": "Step to fork at", onchange: () => this.choose({ step: Number(this.steps.value) }, true) }));
    const title = make("header", "ws-title", make("h3", "ws-run", "Fork"), bdi(this.get("_offers").run_id, "ws-mono"), "at step", this.steps, this.stage);
    this.kinds = make("div", "ws-kinds", { role: "radiogroup", "aria-label": "What changes" });
    this.root.append(title, make("div", "ws-line-of", make("span", "ws-label-of", "Change"), this.kinds), this.buildEditor(), this.buildLive(), this.buildBudget(), this.buildAhead(), this.buildRun(), this.buildFoot());
    listenToKeys(this.root, this.root, (event) => this.key(event));
    el.append(this.root);
  }

  buildEditor() {
    this.editor = focusable(make("textarea", "ws-editor", { "aria-label": "New value", spellcheck: "false", rows: 7, "aria-describedby": `${this.id}-check`,
      oninput: () => this.typed(), onchange: () => this.send("foresee") }));
    this.check = make("p", "ws-check", { id: `${this.id}-check`, role: "status" });
    this.extra = make("div", "ws-extra");
    this.difference = make("div", "ws-difference", { role: "region", "aria-label": "Difference to the recording" });
    this.asText = focusable(make("input", "", { type: "checkbox", onchange: () => this.choose({ as_text: this.asText.checked }) }));
    this.asTextLabel = make("label", "ws-choice", this.asText, "as text, not JSON");
    this.edit = make("div", "ws-edit",
      make("div", "ws-edit-side", make("h4", "", "New value", this.asTextLabel), this.extra, this.editor, this.check),
      make("div", "ws-edit-side", make("h4", "", "Difference to the recording"), this.difference));
    return this.edit;
  }

  buildLive() {
    this.live = make("div", "ws-choices-of", { role: "group", "aria-label": "What goes live" });
    return make("div", "ws-line-of", make("span", "ws-label-of", "Goes live"), this.live);
  }

  buildBudget() {
    this.limits = {};
    const field = (name) => {
      this.limits[name] = focusable(make("input", "ws-number", { type: "number", min: 0, step: "any", placeholder: "no limit", "aria-label": `At most ${BUDGET_WORDS[name]}`, oninput: () => this.limited(), onchange: () => this.send("foresee") }));
      return make("label", "ws-choice", "≤", this.limits[name], BUDGET_WORDS[name]);
    };
    this.seconds = focusable(make("input", "ws-number", { type: "number", min: 1, step: "any", "aria-label": "Stop after so many seconds", oninput: () => this.limited() }));
    this.graph = focusable(make("input", "ws-graph", { type: "text", placeholder: "as the project says", "aria-label": "Graph, as module:attribute", oninput: () => { this.model.set("graph", this.graph.value.trim()); this.drawCode(); } }));
    this.trust = focusable(make("input", "", { type: "checkbox", onchange: () => this.choose({ trust: this.trust.checked }) }));
    this.context = focusable(make("input", "ws-graph", { type: "text", placeholder: "as recorded", spellcheck: "false", "aria-label": "Context the graph is started with, as JSON", oninput: () => { this.model.set("context", this.context.value); this.drawCode(); }, onchange: () => this.send("foresee") }));
    return make("details", "ws-more-of", focusable(make("summary", "", "Budget and graph")),
      make("div", "ws-line-of", make("span", "ws-label-of", "Budget"), make("div", "ws-choices-of", this.get("_offers").budget.map(field))),
      make("div", "ws-line-of", make("span", "ws-label-of", "Run"), make("div", "ws-choices-of", make("label", "ws-choice", "stop after", this.seconds, "s"), make("label", "ws-choice", "graph", this.graph), make("label", "ws-choice", "context", this.context),
        make("label", "ws-choice", this.trust, "I trust the recorded checkpoint database"))));
  }

  buildAhead() {
    this.ahead = make("section", "ws-ahead", { "aria-label": "What will happen", "aria-live": "polite" });
    return this.ahead;
  }

  buildRun() {
    this.rerun = button("ws-button ws-main", "Re-run with this change", "Re-run", () => this.start());
    this.stop = button("ws-button", "Stop the re-run: its process is ended", "Stop", () => this.halt());
    this.bar = make("span", "ws-bar-fill");
    this.progress = make("span", "ws-note", { role: "status" });
    this.wrong = make("p", "ws-note ws-wrong", { role: "alert" });
    this.result = make("section", "ws-result", { "aria-label": "What came of it", "aria-live": "polite" });
    const bar = make("div", "ws-run-bar", this.rerun, this.stop, make("span", "ws-bar-of", { "aria-hidden": "true" }, this.bar), this.progress);
    return make("div", "ws-run-box", bar, this.wrong, this.questions.root, this.result);
  }

  buildFoot() {
    this.codeLine = new CodeLine(this.model);
    return make("footer", "ws-foot", make("span", "ws-hint", { "aria-hidden": "true" }, "Tab moves · Space chooses · Esc leaves a field · y copy · Y insert"), this.codeLine.parts);
  }

  key(event) {
    if (event.target.matches(TYPED)) return event.key === "Escape" ? () => this.root.focus() : undefined;
    return { y: () => this.codeLine.copy(), Y: () => this.codeLine.insert(), Escape: () => this.root.focus() }[event.key];
  }

  // ---- choosing

  offer(kind = this.get("kind")) {
    return this.get("_offers").kinds[kind] ?? { can: kind === "none" };
  }

  // Take what was chosen here, without telling Python unless it is asked to look ahead.
  set(chosen) {
    for (const [name, value] of Object.entries(chosen)) this.model.set(name, value);
  }

  choose(chosen, alone = false) {
    this.set(chosen);
    if ("text" in chosen) this.put(chosen.text);
    this.draw();
    if (alone) this.model.send({ ask: "foresee", ...chosen });
    else this.send("foresee");
  }

  chooseKind(kind) {
    this.drafts[this.get("kind")] = this.editor.value;
    const offer = this.offer(kind);
    const last = offer.messages?.at(-1);
    this.choose({ kind, text: this.drafts[kind] ?? offer.text ?? "", as_text: Boolean(offer.as_text), place: last ? last[0] : this.get("place") });
    if (kind === "state" && !this.channels) this.model.send({ ask: "state" });
  }

  // All that was chosen, as one message.
  send(ask) {
    this.textPut = this.editor.value;
    this.model.set("text", this.textPut);
    this.wrong.textContent = "";
    this.model.send({ ask, ...Object.fromEntries(CHOSEN.map((name) => [name, this.get(name)])) });
  }

  // A new text into the editor. What one has typed since stays whatever else is drawn anew meanwhile.
  put(text) {
    this.editor.value = this.textPut = text;
  }

  typed() {
    this.soon("check", () => { this.drawCheck(); this.drawCode(); });
  }

  limited() {
    const budget = {};
    for (const [name, field] of Object.entries(this.limits)) if (field.value !== "" && Number(field.value) >= 0) budget[name] = Number(field.value);
    this.set({ budget, seconds: Number(this.seconds.value) > 0 ? Number(this.seconds.value) : this.get("_offers").seconds });
    this.drawCode();
  }

  start() {
    if (this.value().wrong) return this.editor.focus();
    this.send("rerun");
  }

  halt() {
    this.stop.disabled = true;
    this.model.send({ ask: "stop" });
  }

  told(told) {
    if (told.ask === "state") {
      this.channels = told.channels ?? [];
      this.noState = told.error;
      this.drawn = undefined;
      this.draw();
    } else if (told.error && told.ask !== "reply") {
      this.wrong.textContent = visible(told.error);
    }
  }

  // ---- drawn anew

  draw() {
    this.drawSteps();
    this.drawKinds();
    this.drawEditor();
    this.drawLive();
    this.drawBudget();
    this.drawCheck();
    this.drawCode();
  }

  drawSteps() {
    const { steps } = this.get("_offers");
    if (this.stepsOf !== steps) this.steps.replaceChildren(...steps.map(([index, kind, name]) => make("option", "", { value: index }, `${index} · ${kind} ${name}`)));
    this.stepsOf = steps;
    this.steps.value = this.get("step");
  }

  drawKinds() {
    const focused = this.kinds.contains(document.activeElement) ? document.activeElement.value : undefined;
    this.kinds.replaceChildren(...CHANGES.map(([kind, words]) => {
      const { can, why } = this.offer(kind);
      const radio = focusable(make("input", "", { type: "radio", name: this.id, value: kind, onchange: () => this.chooseKind(kind), ...(can ? {} : { disabled: "" }) }));
      radio.checked = kind === this.get("kind");
      if (kind === focused) setTimeout(() => radio.focus());
      return make("label", `ws-choice${can ? "" : " ws-cannot"}`, { title: why }, radio, words);
    }));
  }

  drawEditor() {
    const kind = this.get("kind");
    this.edit.hidden = kind === "none";
    if (this.textPut !== this.get("text")) this.put(this.get("text"));
    this.asText.checked = this.get("as_text");
    this.asTextLabel.hidden = !["tool_result", "answer"].includes(kind);
    const shape = JSON.stringify([kind, this.get("step"), this.get("place"), Boolean(this.channels)]);
    if (this.drawn !== shape) this.extra.replaceChildren(...this.extras(kind).filter(Boolean));
    this.drawn = shape;
  }

  // What an editor has besides: which message, which channel, which fault.
  extras(kind) {
    const pick = (label, options, act) => {
      const select = focusable(make("select", "ws-select", { "aria-label": label }, options.map(([value, words]) => make("option", "", { value }, words))));
      select.addEventListener("change", () => act(select.value));
      return select;
    };
    if (kind === "message") {
      const chosen = pick("Message to change", (this.offer().messages ?? []).map(([place, role, text]) => [place, `${place} ${role}: ${text.slice(0, 60)}`]), (place) => this.chooseMessage(Number(place)));
      chosen.value = this.get("place");
      return [chosen];
    }
    const { calls } = this.offer();
    const call = calls?.length > 1 && pick("HTTP call to change", calls.map(([words], place) => [place, words]), (place) => this.choose({ text: calls[place][1] }));
    if (kind === "fault") return [call, ...FAULTS.map((fault) => button("ws-button", `The call meets: ${fault}`, fault, () => this.choose({ text: this.faultText(fault) })))];
    if (kind === "http") return [call];
    if (kind !== "state") return [this.offer().whole === false && note("What was recorded is too long for an editor; it begins empty.")];
    if (this.noState) return [note(`The recorded state can't be shown: ${this.noState}`)];
    if (!this.channels) return [note("Asked the kernel for the recorded state.")];
    return [pick("Put a channel into the editor", [["", "put a channel of the recorded state here …"], ...this.channels.map(([name, text, length]) => [name, text === null ? `${name} (${number(length)} characters: too long)` : name])], (name) => this.putChannel(name))];
  }

  // A fault as it stands in the editor, of the same HTTP call as before.
  faultText(fault) {
    const { value } = this.value();
    const call = value instanceof Map && value.has("call") ? `, "call": ${jsonText(value.get("call"))}` : "";
    if (!call && fault !== "slow") return JSON.stringify(fault);
    return `{"kind": ${JSON.stringify(fault)}${fault === "slow" ? ', "seconds": 5' : ""}${call}}`;
  }

  chooseMessage(place) {
    const found = this.offer().messages.find(([number_]) => number_ === place);
    this.choose({ place, text: found[2] });
  }

  putChannel(name) {
    const found = this.channels.find(([known]) => known === name);
    if (!found || found[1] === null) return;
    const { value, wrong } = this.value();
    const channels = !wrong && value instanceof Map ? value : new Map();
    channels.set(name, readJson(found[1]));
    this.choose({ text: `{\n${[...channels].map(([key, inner]) => `  ${JSON.stringify(key)}: ${key === name ? found[1].replaceAll("\n", "\n  ") : jsonText(inner)}`).join(",\n")}\n}` });
  }

  takesText() {
    const kind = this.get("kind");
    return ["message", "system"].includes(kind) || (this.get("as_text") && ["tool_result", "answer"].includes(kind));
  }

  // What stands in the editor: its value, or what is wrong with it and where.
  value() {
    const kind = this.get("kind");
    if (kind === "none") return { value: undefined };
    if (kind === "message") return { value: new Map([["index", new Num(String(this.get("place")))], ["content", this.editor.value]]) };
    if (this.takesText()) return { value: this.editor.value };
    try {
      return { value: readJson(this.editor.value) };
    } catch (fault) {
      if (!(fault instanceof JsonFault)) throw fault;
      return { wrong: fault.message, ...placeIn(this.editor.value, fault.at) };
    }
  }

  drawCheck() {
    const { value, wrong, line, column } = this.value();
    const plainText = this.takesText();
    this.check.className = `ws-check ${wrong ? "ws-wrong" : "ws-right"}`;
    this.check.textContent = visible(wrong ? `✕ line ${line}, column ${column}: ${wrong}` : plainText ? `✓ text, ${plural(this.editor.value.length, "character")}` : "✓ valid JSON");
    this.editor.setAttribute("aria-invalid", String(Boolean(wrong)));
    const { error } = this.offer();
    this.difference.replaceChildren(...[error && note("Recorded: ", make("span", "ws-wrong", `✕ ${error}`)), this.differs(value, wrong)].flat().filter(Boolean));
    this.drawStage();
  }

  differs(value, wrong) {
    if (wrong) return note("No difference can be shown until it is JSON.");
    const kind = this.get("kind");
    if (kind === "none") return note("");
    if (kind === "fault") return note("The call meets this instead of its recorded answer.");
    if (kind === "state") return this.differsFromState(value);
    if (kind === "http") return this.differsFromAnswer(value);
    const recorded = kind === "message" ? this.offer().messages?.find(([place]) => place === this.get("place"))?.[2] : this.offer().text;
    if (recorded === undefined || this.offer().whole === false) return note("What was recorded is not here to compare with.");
    const now = kind === "message" ? this.editor.value : value;
    return this.between(this.recorded(recorded), now, recorded);
  }

  // What was recorded, in the form the editor has now.
  recorded(text) {
    if (this.get("kind") === "message" || this.offer().as_text) return text;
    try { return readJson(text); } catch (fault) { return text; }
  }

  between(before, after, text) {
    if (typeof before === "string" && typeof after === "string") {
      if (before === after) return note("The same as recorded.");
      if (before.length + after.length > COMPARED_CHARS) return note("They differ; too long to compare as you type.");
      const inside = this.insideTexts(before, after);
      return inside ?? piecesShown(textPieces(before, after));
    }
    const lines = valueLines(before, after);
    if (!lines.length) return note("The same as recorded.");
    return [linesShown(lines), lines.length >= MOST_LINES && note("… and more.")].filter(Boolean);
  }

  // Two texts that are both JSON objects or lists are compared as what they say.
  insideTexts(before, after) {
    if (!looksLikeJson(before) || !looksLikeJson(after)) return undefined;
    try {
      const lines = valueLines(readJson(before), readJson(after));
      return lines.length ? [linesShown(lines), note("Both are JSON written as text.")] : note("The same as recorded, but for spaces.");
    } catch (fault) {
      return undefined;
    }
  }

  // Only what is given of an answer takes the place of what was recorded.
  differsFromAnswer(value) {
    if (!(value instanceof Map)) return note("An answer is an object with status, headers, json or body.");
    const named = (one) => (one.has("call") ? jsonText(one.get("call")) : undefined);
    const every = this.offer().calls.map(([, text]) => readJson(text));
    const recorded = every.find((one) => named(one) === named(value)) ?? (every.length === 1 ? every[0] : new Map());
    return this.between(new Map([...recorded].filter(([name]) => value.has(name))), value, "");
  }

  differsFromState(value) {
    if (!(value instanceof Map)) return note("A state is an object from channel to value.");
    if (!value.size) return note("Nothing yet: put a channel here, or write {\"channel\": value}.");
    const known = new Map((this.channels ?? []).filter(([, text]) => text !== null).map(([name, text]) => [name, readJson(text)]));
    const before = new Map([...value.keys()].filter((name) => known.has(name)).map((name) => [name, known.get(name)]));
    const unknown = [...value.keys()].filter((name) => this.channels && !this.channels.some(([known_]) => known_ === name));
    const shown = this.between(before, value, "");
    return [unknown.length ? note(`Not recorded: ${unknown.join(", ")}`) : undefined, ...[shown].flat()].filter(Boolean);
  }

  drawLive() {
    const { tools, models } = this.get("_offers");
    const live = this.get("live");
    const choice = (name, words, title) => {
      const box = focusable(make("input", "", { type: "checkbox", "data-live": name }));
      box.checked = live.includes(name);
      box.addEventListener("change", () => this.choose({ live: box.checked ? [...this.get("live"), name].sort() : this.get("live").filter((one) => one !== name) }));
      return make("label", "ws-choice", { title }, box, words);
    };
    const focused = this.live.contains(document.activeElement) ? document.activeElement.dataset.live : undefined;
    this.live.replaceChildren(
      choice("model", "the model, inside the sandbox", "It thinks anew, without a network: for models of this process"),
      ...models.map((name) => choice(`model:${name}`, [make("span", "", "model "), bdi(name, "ws-mono"), muted(" for real, asks you")], "Called outside the sandbox after your yes")),
      ...tools.map(({ name, effect, guessed }) => choice(`tool:${name}`, [make("span", "", "tool "), bdi(name, "ws-mono"),
        make("span", effect === "read-only" && !guessed ? "ws-muted" : "ws-acts", ` ${CLASSES[effect] ?? effect}${guessed ? ", a guess" : ""}`), muted(live.includes(`tool:${name}`) ? " · asks you" : " · blocked")], "Called for real, outside the sandbox, after your yes to each")));
    if (focused) this.live.querySelector(`[data-live="${CSS.escape(focused)}"]`)?.focus();
  }

  drawBudget() {
    const budget = this.get("budget");
    for (const [name, field] of Object.entries(this.limits)) if (field !== document.activeElement) field.value = budget[name] ?? "";
    if (this.seconds !== document.activeElement) this.seconds.value = this.get("seconds");
    if (this.graph !== document.activeElement) this.graph.value = this.get("graph");
    if (this.context !== document.activeElement) this.context.value = this.get("context");
    this.trust.checked = this.get("trust");
  }

  drawCode() {
    const { value, wrong } = this.value();
    const kind = this.get("kind");
    const live = this.get("live");
    const budget = new Map(this.get("_offers").budget.filter((name) => this.get("budget")[name] !== undefined).map((name) => [name, new Num(String(this.get("budget")[name]))]));
    const seconds_ = this.get("seconds");
    const given = [
      String(this.get("step")), kind !== "none" && `${kind}=${wrong ? "…" : python(value)}`, live.length && `live=${python(live)}`, budget.size && `budget=${python(budget)}`,
      this.get("graph") && `graph=${pythonText(this.get("graph"))}`, this.get("trust") && "trust=True", this.givenContext(),
      seconds_ !== this.get("_offers").seconds && `seconds=${Number.isInteger(seconds_) ? `${seconds_}.0` : seconds_}`, live.some((one) => one.includes(":")) && "approve=wb.ask_here()",
    ];
    this.codeLine.show(`bench.run(${pythonText(this.get("_offers").run_id)}).fork(${given.filter(Boolean).join(", ")})`);
  }

  // What is given as context, as an argument; what is no JSON is marked as wrong.
  givenContext() {
    const text = this.get("context").trim();
    let given = "";
    try {
      const value = text ? readJson(text) : null;
      if (value !== null && value.size !== 0) given = `context=${python(value)}`;
    } catch (fault) {
      if (!(fault instanceof JsonFault)) throw fault;
      given = "context=…";
    }
    this.context.setAttribute("aria-invalid", String(given === "context=…"));
    return given;
  }

  drawForecast() {
    const { rows, tones, says, error } = this.get("_forecast");
    const head = make("h4", "", "What will happen", muted("as far as the recording tells"));
    if (error) return this.ahead.replaceChildren(head, make("p", "ws-note ws-wrong", `It can't be forked like this: ${error}`));
    const line = ([count, what, which, why], place) => make("tr", `ws-tone-${tones[place]}`,
      make("td", "ws-count-of", count), make("td", "", what), make("td", "", bdi(which, "ws-mono"), why && make("div", "ws-muted", why)));
    this.ahead.replaceChildren(head, make("table", "ws-table", make("tbody", "", (rows ?? []).map(line))), ...(says ?? []).map((one, place) => make("p", place ? "ws-note" : "ws-blocked", one)));
    return undefined;
  }

  drawStage() {
    const stage = this.get("stage");
    const runs = ["running", "stopping"].includes(stage);
    if (runs && !this.since) this.since = performance.now();
    if (!runs) this.since = undefined;
    this.stage.textContent = STAGE_WORDS[stage] ?? "";
    this.rerun.disabled = runs || Boolean(this.value().wrong) || Boolean(this.get("_forecast").error && !/not trusted/.test(this.get("_forecast").error));
    this.stop.disabled = stage !== "running";
    this.stop.hidden = !runs;
    this.drawProgress();
  }

  drawProgress() {
    const runs = ["running", "stopping"].includes(this.get("stage"));
    this.bar.parentElement.hidden = !runs;
    if (!runs) {
      this.progress.textContent = "";
      return;
    }
    const { calls = 0, expected = 0, live = 0, last = "" } = this.get("_progress");
    this.bar.style.width = `${Math.min(100, expected ? (calls / expected) * 100 : 0)}%`;
    const waits = this.get("_waiting").length ? " · waits for your answer" : "";
    const stopping = this.get("stage") === "stopping" ? "stopping · " : "";
    this.progress.textContent = visible(`${stopping}${plural(calls, "call")} of about ${expected}${live ? ` · ${live} live` : ""} · ${seconds((performance.now() - this.since) / 1000)}${waits}${last ? ` · ${last}` : ""}`);
  }

  drawResult() {
    const result = this.get("_result");
    this.result.hidden = !Object.keys(result).length;
    if (this.result.hidden) return;
    if (result.error) {
      this.result.replaceChildren(make("h4", "ws-wrong", "✕ It could not be made"), make("pre", "ws-text", result.error));
      return;
    }
    const verdict = result.clean === undefined ? "" : make("span", `ws-verdict ws-${result.clean ? "ok" : "error"}`, result.clean ? "✓ clean receipt" : "✕ receipt not clean");
    const calls = Object.entries(result.calls ?? {}).filter(([, count]) => count).map(([name, count]) => `${count} ${name}`).join(" · ");
    this.result.replaceChildren(...[
      make("h4", "", verdict, bdi(result.run_id, "ws-mono"), muted(`${STATUS_GLYPH[result.status] ?? ""} ${result.status}${result.took === undefined ? "" : ` · ${result.took.toFixed(1)} s`} · ${calls}`)),
      result.why && make("p", "ws-says", result.why),
      make("h5", "", "Outcome: recorded, and now"), result.recorded === result.outcome ? make("pre", "ws-text", result.outcome) : piecesShown(textPieces(result.recorded, result.outcome)),
      result.effects?.length && make("table", "ws-table", make("thead", "", make("tr", "", ["act", "recorded", "now"].map((name) => make("th", "", name)))),
        make("tbody", "", result.effects.map(([key, before, after, says]) => make("tr", before === after ? "" : "ws-tone-warning", make("td", "", bdi(key, "ws-mono"), says && make("div", "ws-muted", says)), make("td", "ws-count-of", before), make("td", "ws-count-of", after))))),
      make("div", "ws-next", Object.entries(result.code).map(([name, code]) => this.nextLine(name, code)))].filter(Boolean));
  }

  nextLine(name, code) {
    const line = new CodeLine(this.model);
    line.show(code);
    return make("div", "ws-next-line", make("span", "ws-label-of", name), line.parts);
  }
}

export default {
  render({ model, el }) {
    const view = new ForkView(model, el);
    return () => view.destroy();
  },
};
