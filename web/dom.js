// The few things the page does to its document. Text is only written when it differs, so that a
// tick without news causes neither layout nor an announcement by a screen reader.

/** The element with an id; it is in index.html. */
export const byId = (id) => document.getElementById(id);

/** Makes an element: `element("td", {class: "num"}, "12")`. Children are nodes or text. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Sets an element's text if it is another one. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Shows or hides an element. */
export function setShown(target, shown) {
  if (target.hidden === shown) target.hidden = !shown;
}
