/* Elements as function calls. Text is always set as text, never parsed as HTML, so whatever a prompt, a file name or a
 * server says stays words.
 *
 *     h('button', { class: 'button', onclick: run, disabled: busy }, icon('play'), t('run'))
 */

const SVG = 'http://www.w3.org/2000/svg';

function put(element, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (name === 'class') element.setAttribute('class', value);
  else if (name === 'style') for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
  else if (name === 'data') Object.assign(element.dataset, value);
  else if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
  else if (name === 'value' || name === 'checked' || name === 'disabled' || name === 'indeterminate') element[name] = value;
  else element.setAttribute(name, value === true ? '' : String(value));
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const late = [];
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'value') late.push([name, value]);
    else put(element, name, value);
  }
  append(element, children);
  for (const [name, value] of late) put(element, name, value); // a select takes its value after its options
  return element;
}

export function svg(tag, properties = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) if (value !== undefined) element.setAttribute(name, value);
  append(element, children);
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

let counter = 0;
export function uniqueId(prefix) {
  counter += 1;
  return `${prefix}-${counter}`;
}

/* A value that can be watched. `watch` calls at once and on each change, and returns how to stop. */
export class Value {
  #value;
  #watchers = new Set();
  constructor(value) { this.#value = value; }
  get() { return this.#value; }
  set(value) {
    this.#value = value;
    for (const watcher of [...this.#watchers]) watcher(value);
  }
  watch(watcher) {
    this.#watchers.add(watcher);
    watcher(this.#value);
    return () => this.#watchers.delete(watcher);
  }
}

/* Calls `work` once things have been quiet for `ms`. */
export function debounce(work, ms) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), ms);
  };
}

/* A short message that goes away by itself. */
export function toast(text, kind = 'note') {
  const box = h('div', { class: `toast ${kind}` }, text);
  document.getElementById('toasts').append(box);
  setTimeout(() => box.remove(), kind === 'bad' ? 9000 : 4500);
}
