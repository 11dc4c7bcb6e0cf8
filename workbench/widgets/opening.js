// What the views share below which others open, in the same output: a run to step through, a fork panel, a comparison.

const OPENED = { open: ({ run_id, opened_step }) => `${run_id} is open below, at step ${opened_step}`, fork: () => "the fork panel is below", compare: () => "the comparison is below" };

// Ask the kernel to open something below, say what comes of it, and take the keys there once it is in the page.
class Opening {
  constructor(model, root) {
    Object.assign(this, { model, root });
    this.said = span("ws-opening", { role: "status" });
  }

  // A run at a step; its first bad one without.
  open(run_id, step) {
    this.ask({ ask: "open", run_id, step });
  }

  fork(run_id, step) {
    this.ask({ ask: "fork", run_id, step });
  }

  ask(question) {
    this.said.classList.remove("ws-wrong");
    this.said.textContent = "opening … when the kernel is free; restarted, run this cell again";
    this.watch();
    this.model.send(question);
  }

  answered(answer) {
    if (!(answer.ask in OPENED)) return;
    this.said.classList.toggle("ws-wrong", Boolean(answer.error));
    this.said.textContent = this.said.title = visible(answer.error ?? OPENED[answer.ask](answer));
    if (answer.error) this.stop();
  }

  watch() {
    this.stop();
    const box = this.root.closest(".widget-vbox");
    if (!box) return;
    const before = new Set(box.querySelectorAll(".ws"));
    this.watching = new MutationObserver(() => {
      const view = [...box.querySelectorAll(".ws")].find((one) => !before.has(one));
      if (!view) return;
      this.stop();
      view.scrollIntoView({ block: "nearest" });
      (view.querySelector(".ws-list") ?? view).focus({ preventScroll: true });
    });
    this.watching.observe(box, { childList: true, subtree: true });
  }

  stop() {
    this.watching?.disconnect();
  }
}
