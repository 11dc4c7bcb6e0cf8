// What lists have that one filters by choosing from fields.

// A list to choose one of: pairs of value and text; `chosen(value)` hears of it.
function select(label, choices, chosen) {
  const field = make("select", "ws-select", { "aria-label": label, onchange: () => chosen(field.value) }, choices.map(([value, text]) => make("option", "", { value }, text)));
  return focusable(field);
}

// Show a value in it; one that is not among its choices all the same.
function fill(field, value) {
  if (![...field.options].some((option) => option.value === value)) field.append(make("option", "", { value }, value));
  field.value = value;
}
