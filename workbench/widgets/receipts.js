// The receipt of a fork: a verdict in words, and the parts it rests on.

const PARTS = [["checks", "Checks"], ["calls", "Calls"], ["nodes", "Nodes"], ["effects", "Effects"], ["change", "Change"]];
const ANSWERS = ["served", "edited", "live", "blocked", "halted"];
const ANSWER_TONES = { edited: "info", live: "warning", blocked: "error", halted: "error" };
const VERDICTS = { pass: "✓", fail: "✕", "not applicable": "–" };
// rows put into the page at once
const FEW = 200;

class ReceiptPane {
  constructor(model, el) {
    this.model = model;
    this.receipt = model.get("_receipt");
    this.id = `wr${Math.random().toString(36).slice(2)}`;
    this.shown = FEW;
    this.build(el);
    this.unfollow = follow(model, { "change:part": () => this.draw(), "change:only": () => this.draw() });
    this.draw();
  }

  build(el) {
    const { receipt } = this;
    const tone = receipt.clean ? "ok" : "error";
    this.root = make("section", `ws ws-receipt`, { "aria-label": `Receipt of ${receipt.run_id}`, "data-lm-suppress-shortcuts": "true", tabindex: -1 });
    this.tabs = PARTS.map(([name, label], place) => focusable(make("button", "ws-tab", { type: "button", role: "tab", id: `${this.id}-${name}`, "aria-controls": `${this.id}-panel`, onclick: () => this.open(name) },
      make("span", "ws-tab-key", { "aria-hidden": "true" }, String(place + 1)), label, muted(` ${this.count(name)}`))));
    this.panel = focusable(make("div", "ws-panel", { role: "tabpanel", id: `${this.id}-panel` }), 0);
    this.codeLine = new CodeLine(this.model);
    this.root.append(
      make("header", `ws-verdict-box ws-${tone}`, make("h3", "ws-verdict", receipt.clean ? "✓ clean receipt" : "✕ not clean"), make("p", "ws-says", receipt.why)),
      make("div", "ws-facts-of", pairs(receipt.facts.map(([name, says]) => [name, bdi(says)])), receipt.notes.map((one) => note(`· ${one}`))),
      make("div", "ws-tabs", { role: "tablist", "aria-label": "Parts of the receipt" }, this.tabs), this.panel,
      make("footer", "ws-foot", make("span", "ws-hint", { "aria-hidden": "true" }, "1–5 part · ←/→ next part · y copy · Y insert"), this.codeLine.parts));
    listenToKeys(this.root, this.panel, (event) => this.key(event));
    el.append(this.root);
  }

  count(name) {
    const { receipt } = this;
    const failed = receipt.checks.filter(([verdict]) => verdict === "fail").length;
    return { checks: failed ? `${failed} failed` : String(receipt.checks.length), calls: number(receipt.records_count), nodes: number(receipt.nodes_count), effects: String(receipt.effects.length), change: receipt.change[0].replace("_", " ") }[name];
  }

  key(event) {
    const part = PARTS[Number(event.key) - 1];
    if (part) return () => this.open(part[0]);
    if (event.target.role === "tab" && ["ArrowLeft", "ArrowRight"].includes(event.key)) return () => this.beside(event.key === "ArrowRight" ? 1 : -1);
    return { y: () => this.codeLine.copy(), Y: () => this.codeLine.insert() }[event.key];
  }

  beside(by) {
    const place = PARTS.findIndex(([name]) => name === this.model.get("part"));
    this.open(PARTS[(place + by + PARTS.length) % PARTS.length][0]);
    this.tabs[(place + by + PARTS.length) % PARTS.length].focus();
  }

  open(name) {
    this.shown = FEW;
    setTrait(this.model, "part", name);
  }

  draw() {
    const [part, only] = [this.model.get("part"), this.model.get("only")];
    for (const [place, tab] of this.tabs.entries()) {
      const chosen = PARTS[place][0] === part;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", `${this.id}-${part}`);
    this.panel.replaceChildren(...[this[part]()].flat(2).filter(Boolean));
    this.codeLine.show(`${this.receipt.code}part="${part}"${only ? `, only="${only}"` : ""})`);
  }

  table(names, rows) {
    return make("table", "ws-table", make("thead", "", make("tr", "", names.map((name) => make("th", "", { scope: "col" }, name)))), make("tbody", "", rows));
  }

  row(tone, ...cells) {
    return make("tr", tone ? `ws-tone-${tone}` : "", cells.map((cell) => make("td", "", cell)));
  }

  checks() {
    const { checks } = this.receipt;
    if (!checks.length) return note("This receipt is from before there were checks.");
    const rank = { fail: 0, pass: 1, "not applicable": 2 };
    const rows = [...checks].sort((one, other) => rank[one[0]] - rank[other[0]]).map(([verdict, name, says, how]) => this.row(verdict === "fail" ? "error" : "",
      make("span", verdict === "fail" ? "ws-wrong" : verdict === "pass" ? "ws-right" : "ws-muted", `${VERDICTS[verdict]} ${verdict}`), make("b", "", name), bdi(says), muted(how)));
    return this.table(["verdict", "check", "judged by", "it fails when"], rows);
  }

  calls() {
    const { calls, records, records_count } = this.receipt;
    const only = this.model.get("only");
    const chip = (name) => button(`ws-button${only === name ? " ws-on" : ""}`, `Show only calls that were ${name}`, `${name} ${number(name === "edited" ? records.filter(([answer]) => answer === "edited").length : calls[name] ?? 0)}`,
      () => setTrait(this.model, "only", only === name ? "" : name), { "aria-pressed": String(only === name) });
    const found = records.filter(([answer]) => !only || answer === only);
    const rows = found.slice(0, this.shown).map(([answer, kind, name, path, from, asked, says]) => this.row(ANSWER_TONES[answer], answer, [kind, " ", bdi(name, "ws-mono"), path && muted(` at ${path}`)],
      from === null ? "–" : `recording of step ${from}`, make("span", "ws-mono ws-cut", plain(asked)), says));
    return [make("div", "ws-group ws-chips", { role: "group", "aria-label": "Only" }, ANSWERS.map(chip)), rows.length ? this.table(["answered", "call", "from", "asked", "why"], rows) : note("No such call."),
      found.length > this.shown && button("ws-link", "Show more calls", `show ${plural(Math.min(FEW, found.length - this.shown), "more call")} of ${number(found.length - this.shown)}`, () => { this.shown += FEW; this.draw(); }),
      records_count > records.length && note(`… ${plural(records_count - records.length, "more call")}: the JSON report has them.`)];
  }

  nodes() {
    const { nodes, nodes_count } = this.receipt;
    if (!nodes.length) return note("No node was to run again, and none did.");
    return [this.table(["node", "asked", "ran"], nodes.map(([name, asked, ran]) => this.row(asked === ran ? "" : "warning", bdi(name, "ws-mono"), number(asked), [number(ran), asked !== ran && muted(` ${ran > asked ? "+" : "−"}${Math.abs(ran - asked)}`)]))),
      nodes_count > nodes.length && note(`… ${plural(nodes_count - nodes.length, "more node")}.`)];
  }

  effects() {
    const { effects, went_live, doubts } = this.receipt;
    const live = went_live.map(([event, key, by, token, says, before, at]) => this.row(event === "done" ? "warning" : "error", event, bdi(key, "ws-mono"), [bdi(by), muted(` ${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`)], make("span", "ws-mono", token), before, says));
    return [
      make("h4", "", "Done for real", muted(went_live.length ? "" : "nothing")), live.length > 0 && this.table(["ended", "act", "approved by", "idempotency key", "known before", "says"], live),
      make("h4", "", "Attempted, recorded and now"), effects.length ? this.table(["act", "recorded", "fork"], effects.map(([key, before, after]) => this.row(before === after ? "" : "warning", bdi(key, "ws-mono"), number(before), number(after)))) : note("Neither run attempted a side effect."),
      doubts.length > 0 && [make("h4", "", "Doubts"), this.table(["", "what"], doubts.map(([kind, says]) => this.row("warning", kind, bdi(says))))]];
  }

  change() {
    const [kind, value] = this.receipt.change;
    return [kind === "none" ? note("Nothing was changed: an unchanged replay.") : [make("h4", "", kind.replace("_", " ")), make("pre", "ws-text", coloured(plain(value)))],
      make("h4", "", "Isolation in full"), make("pre", "ws-text", this.receipt.isolation || "not recorded")];
  }
}

export default {
  render({ model, el }) {
    const pane = new ReceiptPane(model, el);
    return () => pane.unfollow();
  },
};
