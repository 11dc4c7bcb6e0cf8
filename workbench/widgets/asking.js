// Questions that wait for a person before something goes live. `new Questions(model)`; its `root` stands in the view of whoever asks.

const CLASSES = { effect: "changes the world", idempotent: "changes the world; doing it again changes nothing more", "read-only": "only reads", unknown: "nobody knows" };

function seconds(count) {
  const whole = Math.max(0, Math.floor(count));
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

class Questions {
  constructor(model) {
    this.model = model;
    this.list = make("div", "ws-questions");
    this.said = make("ul", "ws-said");
    this.root = make("div", "ws-asking", { role: "region", "aria-label": "Questions before something goes live" }, this.list, this.said);
    this.boxes = new Map();
    this.unfollow = follow(model, { "change:_waiting": () => this.draw(), "change:said": () => this.draw(), "msg:custom": (told) => this.told(told) });
    this.ticking = setInterval(() => this.tick(), 1000);
    this.draw();
  }

  destroy() {
    this.unfollow();
    clearInterval(this.ticking);
  }

  // A box stays the same element as long as its question waits: a note that is being written is not lost, and the focus stays.
  draw() {
    const waiting = this.model.get("_waiting");
    for (const [key, box] of this.boxes) {
      if (!waiting.some((one) => one.number === key)) {
        box.element.remove();
        this.boxes.delete(key);
      }
    }
    for (const one of waiting) {
      if (this.boxes.has(one.number)) continue;
      const box = this.box(one);
      this.boxes.set(one.number, box);
      this.list.append(box.element);
    }
    this.said.replaceChildren(...this.model.get("said").map((one) => make("li", "", make("b", one.approved ? "ws-yes" : "ws-no", one.approved ? "✓ approved" : "✕ denied"),
      ` by `, bdi(one.by), ` at ${one.at}: `, bdi(one.what), one.says && muted(` ${one.says}`))));
    this.tick();
  }

  box(one) {
    const took = make("b", "");
    const left = make("span", "ws-muted");
    const words = focusable(make("input", "ws-note-field", { type: "text", placeholder: "a note, kept with your answer", "aria-label": `Note on ${one.name}`, maxlength: 400 }));
    const state = make("span", "ws-note", { role: "status" });
    const reply = (approved) => () => {
      for (const each of buttons) each.disabled = true;
      state.textContent = "told the kernel …";
      setTimeout(() => { if (buttons[0].isConnected) state.textContent = LATE; }, 6000);
      this.model.send({ ask: "reply", number: one.number, approved, says: words.value });
    };
    const buttons = [button("ws-button ws-approve", `Approve: call ${one.name} for real`, "Approve", reply(true)), button("ws-button ws-deny", `Deny: ${one.name} is not called`, "Deny", reply(false))];
    const element = make("section", "ws-question", { role: "alert", "aria-label": `${one.kind} ${one.name} wants to go live` },
      make("h4", "", make("span", "ws-live-sign", "⚠ goes live"), bdi(`${one.kind} ${one.name}`), make("span", "ws-waits", "waits for you since ", took, " ", left)),
      one.already.map((says) => make("p", "ws-already", `▲ ${says}`)),
      pairs(this.facts(one)),
      one.arguments !== null && this.arguments("Arguments, as they will be sent", one.arguments),
      one.injected.map(([name, excerpt]) => this.arguments(`${name}: injected by the graph, the model did not give it`, excerpt)),
      make("div", "ws-answer", words, buttons, state));
    element.addEventListener("keydown", (event) => this.noEnter(event));
    return { element, took, left, since: performance.now() - one.waited * 1000, seconds: one.seconds, buttons, state };
  }

  facts(one) {
    const tool = one.kind === "tool";
    const sure = one.guessed ? " (a guess by its name: declare it in [tool.workbench.tools])" : " (declared)";
    const key = one.passes_key ? `${one.idempotency_key}, handed to the tool` : one.idempotency_key ? `${one.idempotency_key}, but the tool takes none: the other side can't tell a repetition` : "none";
    return [
      ["asked by", bdi(one.run_id)],
      ...(tool ? [["what it does", `${one.effect}: ${CLASSES[one.effect] ?? ""}${sure}`], ["the act", make("code", "", one.key)], ["idempotency key", key]] : []),
      ...(one.cause === "first" ? [] : [["asked again by", one.cause]]),
    ];
  }

  arguments(title, excerpt) {
    const [text, cut] = Array.isArray(excerpt) ? excerpt : [excerpt, 0];
    return [make("h5", "", title), make("pre", "ws-text", coloured(text), cut > 0 && make("b", "ws-wrong", ` … ${number(cut)} more characters that are not shown here`))];
  }

  // Enter answers nothing, wherever the focus is: a button is pressed by Space or by pointer.
  noEnter(event) {
    if (event.key === "Enter") event.preventDefault();
  }

  tick() {
    for (const box of this.boxes.values()) {
      const waited = (performance.now() - box.since) / 1000;
      box.took.textContent = seconds(waited);
      box.left.textContent = `· without an answer it is denied in ${seconds(box.seconds - waited)}`;
    }
  }

  told(told) {
    if (told.ask !== "reply" || !told.error) return;
    for (const box of this.boxes.values()) {
      for (const each of box.buttons) each.disabled = false;
      box.state.textContent = visible(told.error);
    }
  }
}

const LATE = "The kernel has not taken it yet. This front end may hand on clicks only when the cell has ended: run.fork_panel(step) leaves the kernel free.";
