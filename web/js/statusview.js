/* The server as it is now: queue, throughput, latency and memory, from /metrics. */
import { h, replace } from './dom.js';
import { t, number, duration } from './i18n.js';
import { Line } from './charts.js';
import { sentenceOf } from './parts.js';
import * as api from './api.js';

const EVERY_MS = 2000;

/* Prometheus text as a map of "name" or "name{labels}" to numbers. */
function parseMetrics(text) {
  const found = new Map();
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*(?:\{[^}]*\})?)\s+(\S+)/.exec(line);
    if (match) found.set(match[1], Number(match[2]));
  }
  return found;
}

function sumOf(metrics, name) {
  let sum = 0;
  for (const [key, value] of metrics) if (key === name || key.startsWith(`${name}{`)) sum += value;
  return sum;
}

function labelled(metrics, name, label) {
  const rows = [];
  for (const [key, value] of metrics) {
    const match = new RegExp(`^${name}\\{.*?${label}="([^"]*)"`).exec(key);
    if (match) rows.push([match[1], value]);
  }
  return rows;
}

export class StatusView {
  constructor() {
    this.element = this.#draw();
    this.last = null;
  }

  start() {
    this.stop();
    this.timer = setInterval(() => this.load(), EVERY_MS);
    this.load();
  }

  stop() { clearInterval(this.timer); }

  async load() {
    try {
      const metrics = parseMetrics(await api.text('metrics'));
      this.problem.textContent = '';
      this.#show(metrics);
    } catch (problem) { this.problem.textContent = problem.status === 401 || problem.status === 403 ? t('status.adminonly') : sentenceOf(problem); }
  }

  #show(metrics) {
    const now = performance.now();
    const states = new Map(labelled(metrics, 'kontext_predictions', 'state'));
    const waiting = states.get('created') ?? 0;
    const running = states.get('processing') ?? 0;
    const steps = sumOf(metrics, 'kontext_steps_total');
    const count = sumOf(metrics, 'kontext_run_seconds_count');
    const sum = sumOf(metrics, 'kontext_run_seconds_sum');
    const answers = sumOf(metrics, 'kontext_http_answers_total');
    const memory = sumOf(metrics, 'kontext_resident_bytes');
    this.queue.push(waiting + running);
    if (this.last) {
      const seconds = Math.max(0.001, (now - this.last.now) / 1000);
      this.rate.push(Math.max(0, steps - this.last.steps) / seconds);
      this.http.push(Math.max(0, answers - this.last.answers) / seconds);
      if (count > this.last.count) this.lastRun = (sum - this.last.sum) / (count - this.last.count);
    }
    this.latency.push(this.lastRun ?? (count > 0 ? sum / count : 0));
    this.memory.push(memory);
    this.last = { now, steps, count, sum, answers };
    const codes = labelled(metrics, 'kontext_http_answers_total', 'code').sort(([a], [b]) => (a < b ? -1 : 1));
    replace(this.codes, codes.map(([code, value]) => h('tr', {}, h('th', { scope: 'row' }, code), h('td', {}, number(value)))));
    replace(this.states, ['created', 'processing', 'completed', 'failed', 'cancelled', 'timeout'].map((state) => h('tr', {}, h('th', { scope: 'row' }, t(`status.${state}`)), h('td', {}, number(states.get(state) ?? 0)))));
  }

  #draw() {
    const decimal = (value) => number(value, value < 10 ? 1 : 0);
    this.queue = new Line(t('status.queue'), (value) => number(value));
    this.rate = new Line(t('status.steps'), decimal);
    this.latency = new Line(t('status.latency'), (value) => duration(value * 1000));
    this.memory = new Line(t('status.memory'), (value) => `${number(value / 1048576)} MiB`);
    this.http = new Line(t('status.http'), decimal);
    this.states = h('tbody');
    this.codes = h('tbody');
    this.problem = h('p', { class: 'fielderror', role: 'alert' });
    const table = (title, rows) => h('div', { class: 'chartbox' }, h('table', { class: 'table' }, h('caption', {}, title), rows));
    return h('div', { class: 'view' }, h('h1', {}, t('status.title')), this.problem,
      h('div', { class: 'charts' }, this.queue.element, this.rate.element, this.latency.element, this.memory.element, this.http.element, table(t('status.jobs'), this.states), table(t('status.codes'), this.codes)));
  }
}
