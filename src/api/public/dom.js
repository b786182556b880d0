/**
 * Makes an element. Children that are strings become text nodes: whatever a job, a file or a provider says is shown as
 * text and never as markup.
 * @param {string} name - With classes, as in `p.hint.quiet`.
 * @param {Record<string, unknown>} [props] - `on…` are listeners, `data-…`, `aria-…` and the rest attributes; null leaves one out.
 */
export function h(name, props = {}, ...children) {
  const [tag, ...classes] = name.split('.');
  const element = document.createElement(tag);
  if (classes.length > 0) element.className = classes.join(' ');
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An icon of the sprite in index.html; decoration, so nothing reads it out. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Tells a screen reader something that the eye sees by itself. Only changes of state: percentages would never end. */
export function announce(text) {
  byId('announcer').textContent = text;
}

/** Hands a blob over to the browser's downloads. */
export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  h('a', { href: url, download: name }).click();
  // The download has its own reference by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
