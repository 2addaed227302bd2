/* Past predictions of this key: filters, pages, re-open with the same inputs, delete. */
import { h, replace, toast, debounce } from './dom.js';
import { icon } from './icons.js';
import { t, money, duration, when, number } from './i18n.js';
import { inputOf, referencesOf, pictureUrl } from './cards.js';
import { failed, sentenceOf } from './parts.js';
import { openViewer, openText } from './viewer.js';
import * as api from './api.js';

const PAGE = 20;
const STATES = ['created', 'processing', 'completed', 'failed', 'cancelled', 'timeout'];

export class HistoryView {
  constructor(facts, playground) {
    this.facts = facts;
    this.playground = playground;
    this.page = 1;
    this.chosen = new Set();
    this.element = this.#draw();
    this.load();
  }

  #query() {
    const query = { page: this.page, page_size: PAGE, include_inputs: true };
    if (this.model.value) query.model = this.model.value;
    if (this.status.value) query.status = this.status.value;
    if (this.after.value) query.created_after = new Date(`${this.after.value}T00:00:00`).toISOString();
    if (this.before.value) query.created_before = new Date(`${this.before.value}T23:59:59.999`).toISOString();
    return query;
  }

  async load() {
    this.pending?.abort();
    this.pending = new AbortController();
    try {
      const found = await api.history(this.#query(), this.pending.signal);
      this.chosen.clear();
      this.items = found.items;
      this.pages = Math.max(1, Math.ceil((found.total ?? found.items.length) / PAGE));
      replace(this.list, found.items.length ? found.items.map((item) => this.#row(item)) : h('p', { class: 'empty' }, t('history.none')));
      this.count.textContent = t('history.count', { count: found.total ?? found.items.length });
      this.pageText.textContent = t('history.page', { page: number(this.page), pages: number(this.pages) });
      this.previous.disabled = this.page <= 1;
      this.next.disabled = this.page >= this.pages;
      this.#showChosen();
    } catch (problem) {
      if (problem.name === 'AbortError') return;
      replace(this.list, h('p', { class: 'fielderror', role: 'alert' }, sentenceOf(problem)));
    }
  }

  #showChosen() {
    this.remove.disabled = this.chosen.size === 0;
    this.removeText.textContent = this.chosen.size ? t('history.delete', { count: this.chosen.size }) : t('history.deletenone');
    this.all.checked = this.items?.length > 0 && this.chosen.size === this.items.length;
    this.all.indeterminate = this.chosen.size > 0 && !this.all.checked;
  }

  async #delete(ids) {
    try {
      const { deleted_count: count } = await api.remove(ids);
      toast(t('history.deleted', { count }));
    } catch (problem) { failed(problem); }
    await this.load();
  }

  #row(item) {
    const input = inputOf(item);
    const outputs = (item.outputs ?? []).map((output) => pictureUrl(output, input));
    const references = referencesOf(input);
    const box = h('input', { type: 'checkbox', 'aria-label': t('history.choose'), onchange: () => { if (box.checked) this.chosen.add(item.id); else this.chosen.delete(item.id); this.#showChosen(); } });
    const facts = [when(new Date(item.created_at)), item.model.split('/').pop(), item.timings?.inference > 0 && duration(item.timings.inference), item.status === 'completed' && item.price !== undefined && money(item.price)].filter(Boolean);
    const tool = (name, text, act) => h('button', { type: 'button', class: 'button quiet square', title: text, 'aria-label': text, onclick: act }, icon(name, 18));
    return h('article', { class: 'past', data: { prediction: item.id } }, box,
      outputs.length > 0
        ? h('button', { type: 'button', class: 'pastpicture', 'aria-label': t('result.open', { number: 1 }), onclick: () => openViewer({ pictures: outputs, references }) }, h('img', { src: outputs[0], alt: '', loading: 'lazy', width: 72, height: 72 }), outputs.length > 1 && h('span', { class: 'more' }, `+${outputs.length - 1}`))
        : h('span', { class: 'pastpicture blank' }, icon(item.status === 'failed' ? 'warn' : 'image', 26)),
      h('div', { class: 'pasttext' }, h('p', { class: 'jobprompt' }, input.prompt ?? ''), h('p', { class: 'hint' }, facts.join(' · ')), item.error && h('p', { class: 'fielderror' }, item.error)),
      h('span', { class: `badge ${item.status}` }, t(`status.${item.status}`)),
      h('span', { class: 'pasttools' }, tool('open', t('result.reopen'), () => { location.hash = '#/'; this.playground().reopen(item, { sameSeed: true }); }), tool('code', t('result.raw'), () => openText(t('result.raw'), JSON.stringify(item, null, 2))), tool('trash', t('history.deleteone'), () => this.#delete([item.id]))));
  }

  #draw() {
    const again = () => { this.page = 1; this.load(); };
    const select = (label, options) => h('select', { class: 'input', 'aria-label': label, onchange: again }, h('option', { value: '' }, label), options);
    this.model = select(t('history.model'), this.facts.models.map((model) => h('option', { value: model.model_id }, model.model_id.split('/').slice(1).join('/'))));
    this.status = select(t('history.status'), STATES.map((state) => h('option', { value: state }, t(`status.${state}`))));
    const date = (label) => h('input', { type: 'date', class: 'input', 'aria-label': label, title: label, onchange: debounce(again, 200) });
    this.after = date(t('history.after'));
    this.before = date(t('history.before'));
    this.all = h('input', { type: 'checkbox', 'aria-label': t('history.chooseall'), onchange: () => {
      this.chosen = new Set(this.all.checked ? this.items.map((item) => item.id) : []);
      this.list.querySelectorAll('input[type=checkbox]').forEach((box) => { box.checked = this.all.checked; });
      this.#showChosen();
    } });
    this.removeText = h('span', {});
    this.remove = h('button', { type: 'button', class: 'button quiet', disabled: true, onclick: () => this.#delete([...this.chosen]) }, icon('trash', 18), this.removeText);
    this.list = h('div', { class: 'pasts', 'aria-busy': 'false' });
    this.count = h('span', { class: 'hint' });
    this.pageText = h('span', { class: 'hint' });
    this.previous = h('button', { type: 'button', class: 'button quiet', onclick: () => { this.page -= 1; this.load(); } }, icon('left', 18), t('history.previous'));
    this.next = h('button', { type: 'button', class: 'button quiet', onclick: () => { this.page += 1; this.load(); } }, t('history.next'), icon('right', 18));
    return h('div', { class: 'view' }, h('h1', {}, t('history.title')),
      h('div', { class: 'row filters' }, this.status, this.model, this.after, h('span', { class: 'hint' }, '–'), this.before, h('span', { class: 'push' }), this.count),
      h('div', { class: 'row' }, h('label', { class: 'row' }, this.all, h('span', { class: 'hint' }, t('history.chooseall'))), this.remove),
      this.list, h('nav', { class: 'row center', 'aria-label': t('history.pages') }, this.previous, this.pageText, this.next));
  }
}
