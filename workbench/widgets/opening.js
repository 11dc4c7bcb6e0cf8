// What the views share that open a run below themselves, in the same output.

// Ask the kernel to open a run at a step (its first bad one without), say what comes of it, and take the keys there once it stands below.
class Opening {
  constructor(model, root) {
    Object.assign(this, { model, root });
    this.said = make("span", "ws-opening", { role: "status" });
  }

  open(run_id, step) {
    this.said.textContent = visible(`opening ${run_id} … (as soon as the kernel is free)`);
    this.watch();
    this.model.send({ ask: "open", run_id, step });
  }

  answered({ ask, run_id, opened_step, error }) {
    if (ask !== "open") return;
    this.said.classList.toggle("ws-wrong", Boolean(error));
    this.said.textContent = visible(error ?? `${run_id} is open below, at step ${opened_step}`);
    if (error) this.stop();
  }

  watch() {
    this.stop();
    const box = this.root.closest(".widget-vbox");
    if (!box) return;
    const before = new Set(box.querySelectorAll(".ws-list"));
    this.watching = new MutationObserver(() => {
      const list = [...box.querySelectorAll("[role=tree].ws-list")].find((one) => !before.has(one));
      if (!list) return;
      this.stop();
      list.closest(".ws").scrollIntoView({ block: "nearest" });
      list.focus({ preventScroll: true });
    });
    this.watching.observe(box, { childList: true, subtree: true });
  }

  stop() {
    this.watching?.disconnect();
  }
}
