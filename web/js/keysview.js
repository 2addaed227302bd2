/* Keys, balances and spending; all keys for an admin, one's own spending for everybody. */
import { h, replace } from './dom.js';
import { icon } from './icons.js';
import { t, money, when, number } from './i18n.js';
import { bars } from './charts.js';
import { copyButton, failed, openDialog, sentenceOf } from './parts.js';
import * as api from './api.js';

const DAYS = 14;

export class KeysView {
  constructor(facts) {
    this.facts = facts;
    this.element = this.#draw();
    this.load();
  }

  async load() {
    await Promise.all([this.#loadUsage(), this.#loadKeys()]);
  }

  async #loadUsage() {
    const end = new Date();
    const start = new Date(end.getTime() - (DAYS - 1) * 86400000);
    try {
      const usage = await api.usage({ start_time: `${start.toISOString().slice(0, 10)}T00:00:00.000Z`, end_time: end.toISOString() });
      const found = new Map((usage.daily_usage ?? []).map((day) => [day.date.slice(0, 10), day.amount]));
      const rows = [...Array(DAYS).keys()].map((at) => new Date(start.getTime() + at * 86400000).toISOString().slice(0, 10)).map((name) => ({ name, value: found.get(name) ?? 0 }));
      const { summary } = usage;
      replace(this.usage, h('div', { class: 'tiles' }, this.#tile(t('keys.balance'), money(this.facts.balance.get() ?? 0)), this.#tile(t('keys.spent', { days: DAYS }), money(summary.total_cost ?? 0)), this.#tile(t('keys.requests'), number(summary.total_requests ?? 0))), bars(rows, t('keys.perday'), money));
    } catch (problem) { replace(this.usage, h('p', { class: 'fielderror', role: 'alert' }, sentenceOf(problem))); }
  }

  #tile(name, value) { return h('div', { class: 'tile' }, h('span', { class: 'hint' }, name), h('strong', {}, value)); }

  async #loadKeys() {
    try {
      const { items } = await api.listKeys();
      this.keys.hidden = false;
      replace(this.rows, items.map((key) => this.#row(key)));
    } catch (problem) {
      this.keys.hidden = true;
      this.refused.textContent = problem.status === 403 ? t('keys.adminonly') : problem.message;
    }
  }

  #row(key) {
    const isRevoked = Boolean(key.revoked_at);
    const act = (name, text, work, danger = false) => h('button', { type: 'button', class: `button quiet small${danger ? ' danger' : ''}`, disabled: isRevoked, onclick: work }, icon(name, 16), text);
    return h('tr', { class: isRevoked ? 'revoked' : '' }, h('th', { scope: 'row' }, key.name, h('span', { class: 'hint mono' }, ` ${key.hint ?? ''}`)), h('td', {}, t(`role.${key.role}`)),
      h('td', { class: 'mono' }, money(key.balance ?? 0)), h('td', {}, key.concurrency ? number(key.concurrency) : t('keys.default')), h('td', {}, key.submits_per_minute ? number(key.submits_per_minute) : t('keys.default')),
      h('td', {}, isRevoked ? t('keys.revoked') : key.created_at && when(new Date(key.created_at))),
      h('td', {}, act('plus', t('keys.credit'), () => this.#credit(key)), act('brush', t('keys.limits'), () => this.#limits(key)), act('trash', t('keys.revoke'), () => this.#revoke(key), true)));
  }

  async #do(work) {
    try { await work(); await this.load(); this.facts.refreshBalance(); return true; } catch (problem) { failed(problem); return false; }
  }

  /* Asks for the values of `fields` ({ name, label, type, value, step }) and calls `work` with them. */
  #ask(title, fields, work) {
    const inputs = fields.map((field) => h('input', { class: 'input', id: `ask-${field.name}`, type: field.type ?? 'number', step: field.step ?? 'any', min: field.min, value: field.value ?? '', required: true }));
    const dialog = openDialog({ class: 'dialog', 'aria-label': title }, h('form', { method: 'dialog', onsubmit: async (event) => {
      event.preventDefault();
      if (await this.#do(() => work(Object.fromEntries(fields.map((field, at) => [field.name, field.type === 'text' ? inputs[at].value : Number(inputs[at].value)]))))) dialog.close();
    } }, h('h2', {}, title), fields.map((field, at) => h('div', { class: 'field' }, h('label', { class: 'label', for: `ask-${field.name}` }, field.label), inputs[at])),
    h('div', { class: 'row end' }, h('button', { type: 'button', class: 'button quiet', onclick: () => dialog.close() }, t('cancel')), h('button', { type: 'submit', class: 'button primary' }, t('save')))));
  }

  #credit(key) { this.#ask(t('keys.creditof', { name: key.name }), [{ name: 'amount', label: t('keys.amount'), value: 10 }], ({ amount }) => api.creditKey(key.uuid, amount)); }

  #limits(key) {
    this.#ask(t('keys.limitsof', { name: key.name }), [{ name: 'concurrency', label: t('keys.concurrency'), value: key.concurrency ?? 0, step: 1, min: 0 }, { name: 'submits_per_minute', label: t('keys.rate'), value: key.submits_per_minute ?? 0, step: 1, min: 0 }], (values) => api.limitKey(key.uuid, values));
  }

  #revoke(key) {
    const dialog = openDialog({ class: 'dialog', 'aria-label': t('keys.revoke') }, h('h2', {}, t('keys.revokeof', { name: key.name })), h('p', {}, t('keys.revoketext')),
      h('div', { class: 'row end' }, h('button', { type: 'button', class: 'button quiet', onclick: () => dialog.close() }, t('cancel')), h('button', { type: 'button', class: 'button primary danger', onclick: async () => { if (await this.#do(() => api.revokeKey(key.uuid))) dialog.close(); } }, t('keys.revoke'))));
  }

  async #create(event) {
    event.preventDefault();
    const data = new FormData(event.target);
    await this.#do(async () => {
      const made = await api.createKey({ name: data.get('name'), role: data.get('role'), balance: Number(data.get('balance') || 0) });
      event.target.reset();
      replace(this.made, h('p', {}, t('keys.made')), h('div', { class: 'row' }, h('code', { class: 'secret' }, made.key), copyButton(() => made.key)));
    });
  }

  #draw() {
    this.usage = h('section', { class: 'panel' });
    this.rows = h('tbody');
    this.made = h('div', { class: 'made', role: 'status' });
    this.refused = h('p', { class: 'hint' });
    const name = h('input', { class: 'input', name: 'name', id: 'key-name', required: true, maxlength: 80 });
    const role = h('select', { class: 'input', name: 'role', id: 'key-role' }, ['submit', 'read', 'admin'].map((one) => h('option', { value: one }, t(`role.${one}`))));
    const balance = h('input', { class: 'input', name: 'balance', id: 'key-balance', type: 'number', step: '0.01', min: 0, value: 10 });
    this.keys = h('section', { class: 'panel', hidden: true }, h('h2', {}, t('keys.keys')),
      h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': t('keys.keys') }, h('table', { class: 'table' }, h('thead', {}, h('tr', {}, ['name', 'role', 'balance', 'concurrency', 'rate', 'created', 'actions'].map((one) => h('th', { scope: 'col' }, t(`keys.${one}`))))), this.rows)),
      h('form', { class: 'row create', onsubmit: (event) => this.#create(event) }, h('div', { class: 'field' }, h('label', { class: 'label', for: 'key-name' }, t('keys.name')), name), h('div', { class: 'field' }, h('label', { class: 'label', for: 'key-role' }, t('keys.role')), role), h('div', { class: 'field' }, h('label', { class: 'label', for: 'key-balance' }, t('keys.balance')), balance), h('button', { type: 'submit', class: 'button primary' }, icon('plus'), t('keys.create'))), this.made);
    return h('div', { class: 'view' }, h('h1', {}, t('keys.title')), this.usage, this.keys, this.refused);
  }
}
