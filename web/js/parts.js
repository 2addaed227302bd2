/* What several views do alike: tell a failure, copy a text, open a dialog, choose one of several. */
import { h, toast } from './dom.js';
import { icon } from './icons.js';
import { t } from './i18n.js';

/* The sentence of an ApiError. */
export function sentenceOf(problem) { return problem.status === 0 ? t('error.offline') : problem.message; }

export function failed(problem) { toast(sentenceOf(problem), 'bad'); }

export async function copyText(text) {
  try { await navigator.clipboard.writeText(text); toast(t('copied')); } catch { toast(t('error.clipboard'), 'bad'); }
}

/* `text()` is asked when the button is pressed. */
export function copyButton(text) {
  return h('button', { type: 'button', class: 'button quiet small', onclick: () => copyText(text()) }, icon('copy', 17), t('copy'));
}

/* A modal dialog that is gone when it is closed. */
export function openDialog(properties, ...children) {
  const dialog = h('dialog', properties, ...children);
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/* One of several buttons, by click or arrow key; one stop for Tab. `mark` tells which it is ("aria-checked",
 * "aria-selected"). Returns how to set it without choosing. */
export function oneOf(buttons, mark, choose) {
  const set = (chosen) => buttons.forEach((button, at) => {
    button.setAttribute(mark, String(at === chosen));
    button.tabIndex = at === chosen ? 0 : -1;
  });
  buttons.forEach((button, at) => {
    button.addEventListener('click', () => { set(at); choose(at); });
    button.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = buttons[(at + step + buttons.length) % buttons.length];
      next.focus();
      next.click();
    });
  });
  return set;
}
