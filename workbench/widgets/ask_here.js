// The place where re-runs ask, alone.

export default {
  render({ model, el }) {
    const questions = new Questions(model);
    const idle = make("p", "ws-note", "Before anything goes live, the question stands here. Enter answers nothing: press a button with Space, or click.");
    const root = make("section", "ws ws-ask-here", { "aria-label": "Approvals", "data-lm-suppress-shortcuts": "true", tabindex: -1 }, idle, questions.root);
    listenToKeys(root, root, () => undefined);
    el.append(root);
    return () => questions.destroy();
  },
};
