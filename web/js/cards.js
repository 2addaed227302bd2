/* A run as a card: waiting, running with progress and preview, or ended with its pictures and what can be done next. */
import { h, replace, toast } from './dom.js';
import { icon } from './icons.js';
import { t, money, duration, when } from './i18n.js';
import { openViewer, openText } from './viewer.js';
import { dropJob } from './jobs.js';
import { copyText, failed } from './parts.js';
import * as api from './api.js';

function isBase64(output) { return !/^https?:|^\//.test(output); }

export function pictureUrl(output, input) {
  if (isBase64(output)) return `data:image/${input?.output_format ?? 'jpeg'};base64,${output}`;
  return api.localUrl(output);
}

export function inputOf(prediction) { return prediction.input ?? {}; }

export function imagesOf(input) {
  if (Array.isArray(input.images) && input.images.length) return input.images;
  return input.image ? [input.image] : [];
}

/* The references that lie on our own server, to be shown; others' addresses are not asked for. */
export function referencesOf(input) {
  return imagesOf(input).map((url, at) => ({ url: api.localUrl(url), label: t('refs.reference', { number: at + 1 }) })).filter(({ url }) => !/^https?:/.test(url));
}

function statusLine(job) {
  const { status, queue_position: position, eta_ms: eta } = job.prediction;
  if (job.isOffline) return t('job.offline');
  if (status === 'created') return position > 0 ? t('job.position', { count: position }) : t('job.created');
  if (status === 'processing' && eta > 0) return t('job.left', { time: duration(eta) });
  return t(`status.${status}`);
}

/* Keeps its elements and changes what they show, so that focus, scroll and pictures stay through a run. */
export class Card {
  constructor(job, actions) {
    this.job = job;
    this.actions = actions;
    this.shown = '';
    this.element = h('article', { class: 'job', data: { job: job.id }, 'aria-label': t('job.title') });
    this.update(job);
  }

  update(job) {
    this.job = job;
    const { status } = job.prediction;
    const shape = api.hasEnded(status) ? `${status}` : 'running';
    this.element.className = `job ${status}`;
    if (shape !== this.shown) {
      this.shown = shape;
      if (shape === 'running') this.#drawRunning();
      else this.#drawEnded();
    }
    if (shape === 'running') this.#updateRunning();
  }

  #head() {
    const input = inputOf(this.job.prediction);
    const thumbs = this.job.thumbs?.length ? this.job.thumbs : referencesOf(input).map(({ url }) => ({ thumb: url }));
    return h('header', { class: 'jobhead' },
      thumbs.length > 0 && h('span', { class: 'minis' }, thumbs.map(({ thumb }, at) => (thumb ? h('img', { src: thumb, alt: t('refs.reference', { number: at + 1 }) }) : h('span', { class: 'mini' }, at + 1)))),
      h('p', { class: 'jobprompt', title: input.prompt }, input.prompt ?? ''),
      h('span', { class: `badge ${this.job.prediction.status}` }, t(`status.${this.job.prediction.status}`)));
  }

  #drawRunning() {
    this.bar = h('progress', { max: 1, 'aria-label': t('job.progress') });
    this.line = h('p', { class: 'jobline', 'aria-live': 'polite' });
    this.steps = h('span', { class: 'mono hint' });
    this.preview = h('div', { class: 'preview' }, h('span', { class: 'previewblank' }, icon('brush', 30)));
    this.headBox = h('div', {}, this.#head());
    this.stopButton = h('button', { type: 'button', class: 'button quiet', onclick: () => this.#cancel() }, icon('stop'), t('job.cancel'));
    replace(this.element, this.headBox, this.preview, h('div', { class: 'jobfoot' }, h('div', { class: 'jobprogress' }, this.bar, h('div', { class: 'row' }, this.line, h('span', { class: 'push' }), this.steps)), this.stopButton));
  }

  #updateRunning() {
    const { prediction, preview } = this.job;
    if (this.lastStatus !== prediction.status) { this.lastStatus = prediction.status; replace(this.headBox, this.#head()); }
    if (prediction.status === 'created') this.bar.removeAttribute('value');
    else this.bar.value = prediction.progress ?? 0;
    const line = statusLine(this.job);
    if (this.line.textContent !== line) this.line.textContent = line;
    this.steps.textContent = prediction.total_steps ? t('job.step', { step: prediction.step ?? 0, total: prediction.total_steps }) : '';
    if (preview && this.lastPreview !== preview) {
      this.lastPreview = preview;
      const image = this.preview.querySelector('img') ?? h('img', { alt: t('job.preview') });
      image.src = preview;
      if (!image.isConnected) replace(this.preview, image);
    }
  }

  async #cancel() {
    this.stopButton.disabled = true;
    try { await api.cancel(this.job.id); } catch (problem) { failed(problem); this.stopButton.disabled = false; }
  }

  #drawEnded() {
    const { prediction } = this.job;
    const input = inputOf(prediction);
    const pictures = (prediction.outputs ?? []).map((output) => pictureUrl(output, input));
    const references = referencesOf(input);
    const body = prediction.status === 'completed'
      ? h('div', { class: `pictures n${Math.min(4, pictures.length)}` }, pictures.map((url, at) => this.#picture(url, at, pictures, references)))
      : h('p', { class: 'joberror' }, icon('warn'), h('span', {}, prediction.error || t(`status.${prediction.status}`)));
    replace(this.element, this.#head(), body, this.#facts(), this.#actions());
  }

  #picture(url, at, pictures, references) {
    const { prediction } = this.job;
    const tool = (name, text, act) => h('button', { type: 'button', class: 'chip', title: text, 'aria-label': text, onclick: act }, icon(name, 17));
    const output = prediction.outputs[at];
    const format = inputOf(prediction).output_format ?? 'jpeg';
    const link = isBase64(output) ? url : new URL(url, document.baseURI).href;
    return h('figure', { class: 'picture' },
      h('button', { type: 'button', class: 'pictureopen', 'aria-label': t('result.open', { number: at + 1 }), onclick: () => openViewer({ pictures, references, first: at }) }, h('img', { src: url, alt: t('result.alt', { prompt: inputOf(prediction).prompt ?? '' }) })),
      prediction.has_nsfw_contents?.[at] && h('span', { class: 'badge nsfw' }, t('result.nsfw')),
      h('figcaption', { class: 'picturetools' },
        tool('full', t('result.full'), () => openViewer({ pictures, references, first: at })),
        references.length > 0 && tool('compare', t('result.compare'), () => openViewer({ pictures, references, first: at, compare: true })),
        h('a', { class: 'chip', href: url, download: `kontext-${this.job.id.slice(0, 8)}-${at + 1}.${format}`, title: t('result.download'), 'aria-label': t('result.download') }, icon('download', 17)),
        tool('copy', t('result.copy'), () => copyPicture(url)),
        !isBase64(output) && tool('link', t('result.link'), () => copyText(link)),
        tool('chain', t('result.chain'), () => this.actions.useAsReference(output, url))));
  }

  #facts() {
    const { prediction } = this.job;
    const seeds = prediction.seeds ?? [];
    const size = prediction.sizes?.final;
    const facts = [
      prediction.created_at && when(new Date(prediction.created_at)),
      prediction.timings?.inference > 0 && t('result.inference', { time: duration(prediction.timings.inference) }),
      seeds.length > 0 && t('result.seed', { seed: seeds.join(', ') }),
      size && `${size.width} × ${size.height}`,
      prediction.status === 'completed' && prediction.price !== undefined && t('result.charge', { price: money(prediction.price) }),
    ].filter(Boolean);
    const warnings = prediction.warnings ?? [];
    return h('div', { class: 'facts' }, h('p', { class: 'hint' }, facts.join(' · ')), warnings.map((warning) => h('p', { class: 'hint warning' }, icon('warn', 15), warning)));
  }

  #actions() {
    const { prediction } = this.job;
    const button = (name, text, act) => h('button', { type: 'button', class: 'button quiet small', onclick: act }, icon(name, 17), text);
    return h('div', { class: 'jobactions' },
      button('repeat', t('result.reopen'), () => this.actions.reopen(prediction, { sameSeed: false })),
      (prediction.seeds?.length ?? 0) > 0 && button('lock', t('result.sameseed'), () => this.actions.reopen(prediction, { sameSeed: true })),
      prediction.status === 'completed' && button('sparkles', t('result.more'), () => this.actions.more(prediction)),
      button('code', t('result.raw'), () => openText(t('result.raw'), JSON.stringify(prediction, null, 2))),
      button('close', t('result.dismiss'), () => dropJob(this.job.id)));
  }
}

async function copyPicture(url) {
  try {
    const blob = await (await fetch(url)).blob();
    const bitmap = await createImageBitmap(blob);
    const canvas = h('canvas', { width: bitmap.width, height: bitmap.height });
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
    const png = await new Promise((resolve) => { canvas.toBlob(resolve, 'image/png'); });
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': png })]);
    toast(t('copied'));
  } catch { toast(t('error.clipboard'), 'bad'); }
}
