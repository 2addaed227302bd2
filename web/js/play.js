/* The playground: references, form, price and run on one side; runs and results on the other; below them examples, code
 * and the page's own words. */
import { h, replace, Value, debounce, toast } from './dom.js';
import { icon } from './icons.js';
import { t, money } from './i18n.js';
import { References } from './references.js';
import { makeField, schemaOf, orderOf } from './fields.js';
import { Card, inputOf, imagesOf } from './cards.js';
import { jobs, addJob } from './jobs.js';
import { sampleBox, requestTable, responseTable } from './samples.js';
import { exampleStrip } from './examples.js';
import { readme } from './readme.js';
import { failed, oneOf, sentenceOf } from './parts.js';
import * as api from './api.js';

const KEPT = 'kontext.form';
const TEMPLATE_ROLES = ['identity', 'outfit', 'style', 'background'];

export class Playground {
  /* `facts`: { models, capabilities, balance (a Value) } */
  constructor(facts) {
    this.facts = facts;
    this.fields = [];
    this.inputs = new Value({ model: '', inputs: {} });
    this.problem = new Value('');
    const kept = this.#kept();
    this.model = facts.models.find((model) => model.model_id === kept.model) ?? facts.models[0];
    this.references = new References(this.#limits());
    this.element = this.#draw();
    this.#useModel(this.model, kept.inputs ?? {});
    this.references.items.watch(() => this.#changed());
  }

  #kept() { try { return JSON.parse(sessionStorage.getItem(KEPT) ?? '{}'); } catch { return {}; } }

  #takesMany() { return Boolean(schemaOf(this.model).properties.images); }

  #limits() {
    const schema = schemaOf(this.model);
    return { count: schema.properties.images ? schema.properties.images.maxItems ?? 4 : 1, bytes: this.facts.capabilities.transfer.upload_bytes };
  }

  #useModel(model, values) {
    this.model = model;
    this.references.setLimits(this.#limits());
    const schema = schemaOf(model);
    const facts = { nativeArea: this.facts.capabilities.model.native_area_px || undefined };
    this.fields = orderOf(schema).map((name) => makeField(name, schema.properties[name], () => this.#changed(), facts)).filter(Boolean);
    const prompt = this.fields.find((field) => field.name === 'prompt');
    replace(this.promptBox, prompt?.element, this.#promptAids(prompt));
    replace(this.fieldBox, this.fields.filter((field) => field !== prompt).map((field) => field.element));
    for (const field of this.fields) if (values[field.name] !== undefined) field.set(values[field.name]);
    this.markModel(this.facts.models.indexOf(model));
    this.modelNote.textContent = model.description ?? '';
    replace(this.schemaBox, h('h3', {}, t('api.request')), requestTable(model), h('h3', {}, t('api.response')), responseTable());
    this.#changed();
  }

  /* What is in the form now, as the request body; without what was left to the server's defaults. */
  #collect() {
    const inputs = {};
    for (const field of this.fields) {
      const value = field.get();
      if (value !== undefined) inputs[field.name] = value;
    }
    const urls = this.references.urls();
    if (this.#takesMany()) { if (urls.length) inputs.images = urls; } else if (urls.length) [inputs.image] = urls;
    return inputs;
  }

  #changed() {
    const inputs = this.#collect();
    this.inputs.set({ model: this.model.model_id, inputs });
    const { images, image, ...rest } = inputs;
    try { sessionStorage.setItem(KEPT, JSON.stringify({ model: this.model.model_id, inputs: rest })); } catch { /* full: a reload starts afresh */ }
    this.#hintUnused(inputs.prompt ?? '');
    this.askPrice();
  }

  #hintUnused(prompt) {
    const count = this.references.items.get().length;
    const named = [...Array(count).keys()].map((at) => at + 1).filter((one) => new RegExp(`(?:reference|image|picture|photo|referenz|bild|参考图?|图片?)\\s*#?\\s*${one}(?!\\d)`, 'i').test(prompt));
    const unused = [...Array(count).keys()].map((at) => at + 1).filter((one) => !named.includes(one));
    this.unusedHint.textContent = count > 1 && named.length > 0 && unused.length > 0 ? t('prompt.unused', { count: unused.length, which: unused.join(', ') }) : '';
  }

  #promptAids(prompt) {
    this.unusedHint = h('p', { class: 'hint warning', role: 'status' });
    const insert = () => {
      const count = Math.max(1, this.references.items.get().length);
      const text = [...Array(count).keys()].map((at) => t('prompt.role', { number: at + 1, role: t(`prompt.${TEMPLATE_ROLES[at] ?? 'identity'}`) })).concat(t('prompt.keep')).join(' ');
      const { input } = prompt;
      input.setRangeText((input.value && !input.value.endsWith(' ') ? ' ' : '') + text, input.selectionEnd, input.selectionEnd, 'end');
      input.focus();
      const at = input.value.indexOf('[');
      if (at >= 0) input.setSelectionRange(at, input.value.indexOf(']', at) + 1);
      this.#changed();
    };
    return h('div', { class: 'row' }, h('button', { type: 'button', class: 'chip', onclick: insert }, icon('list', 16), t('prompt.template')), this.unusedHint);
  }

  askPrice = debounce(async () => {
    this.priceStop?.abort();
    this.priceStop = new AbortController();
    try {
      const { num_images: images } = this.#collect();
      const quote = await api.price(this.model.model_id, images === undefined ? {} : { num_images: images }, this.priceStop.signal);
      const payable = quote.discounted_price ?? quote.price;
      this.priceBox.textContent = t('run.price', { price: money(payable) });
      this.priceNote.textContent = payable > 0 ? t('run.about', { count: Math.floor(1 / payable + 1e-9) }) : t('run.free');
    } catch (problem) {
      if (problem.name !== 'AbortError') { this.priceBox.textContent = '–'; this.priceNote.textContent = ''; }
    }
  }, 250);

  async run() {
    this.problem.set('');
    const wrong = this.fields.find((field) => field.check?.());
    if (wrong) { wrong.element.querySelector('input, textarea, button')?.focus(); return; }
    const prompt = this.fields.find((field) => field.name === 'prompt');
    if (prompt && !(prompt.get() ?? '').trim()) { prompt.error(t('prompt.empty')); prompt.input.focus(); return; }
    for (const field of this.fields) field.error('');
    this.runButton.disabled = true;
    this.runButton.classList.add('busy');
    try {
      await this.references.settled();
      if (this.references.hasBroken()) { this.references.problem.set(t('refs.fix')); return; }
      const inputs = this.#collect();
      const thumbs = this.references.items.get().map(({ thumb }) => ({ thumb }));
      const prediction = await api.submit(this.model.model_id, inputs);
      addJob({ ...prediction, input: inputs }, thumbs);
      this.facts.refreshBalance();
      if (matchMedia('(max-width: 900px)').matches) this.results.scrollIntoView({ behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
    } catch (problem) { this.#tell(problem); } finally {
      this.runButton.disabled = false;
      this.runButton.classList.remove('busy');
    }
  }

  /* An error of the server stands beside the field that it names. */
  #tell(problem) {
    if (problem.status === 401) { this.facts.signOut(t('error.key')); return; }
    const field = this.fields.find((one) => new RegExp(`^\\W?${one.name}\\b`).test(problem.message));
    if (field) { field.error(problem.message); field.element.scrollIntoView({ block: 'nearest' }); } else if (/^\W?images?\b/.test(problem.message)) this.references.problem.set(problem.message);
    else this.problem.set(sentenceOf(problem));
  }

  fill(model, values, pictures) {
    const found = this.facts.models.find((one) => one.model_id === model) ?? this.model;
    this.#useModel(found, {});
    for (const field of this.fields) field.set(values[field.name]);
    if (pictures) {
      this.references.clear();
      for (const picture of pictures) {
        if (picture.file) this.references.addFiles([picture.file]);
        else this.references.addUrl(picture.url, picture);
      }
    }
    this.#changed();
    this.fields.find((field) => field.name === 'prompt')?.input.focus({ preventScroll: true });
    this.form.scrollIntoView({ block: 'start' });
  }

  reopen(prediction, { sameSeed }) {
    const input = inputOf(prediction);
    const values = { ...input };
    if (sameSeed && prediction.seeds?.length) [values.seed] = prediction.seeds;
    else delete values.seed;
    if (!values.size && input.width) values.size = `${input.width}*${input.height}`;
    this.fill(prediction.model, values, imagesOf(input).map((url) => ({ url })));
  }

  useAsReference(output, url) {
    const isUrl = /^https?:/.test(output);
    if (this.references.items.get().length >= this.references.limits.count) this.references.clear();
    if (isUrl) this.references.addUrl(output, { name: t('result.earlier') });
    else fetch(url).then((answer) => answer.blob()).then((blob) => this.references.addFiles([new File([blob], 'result.png', { type: blob.type })]));
    toast(t('result.added', { number: this.references.items.get().length }));
    this.form.scrollIntoView({ block: 'start' });
    this.fields.find((field) => field.name === 'prompt')?.input.focus({ preventScroll: true });
  }

  async more(prediction) {
    const { seed, ...input } = inputOf(prediction);
    try {
      const made = await api.submit(prediction.model, { ...input, seed: -1 });
      addJob({ ...made, input });
      this.facts.refreshBalance();
    } catch (problem) { failed(problem); }
  }

  #modelChoice() {
    const { models } = this.facts;
    const nameOf = (model) => {
      const short = model.model_id.split('/').pop();
      const known = t(`model.${short}`);
      return known === `model.${short}` ? short : known;
    };
    const buttons = models.map((model) => h('button', { type: 'button', role: 'radio', class: 'segment', title: model.model_id }, nameOf(model)));
    this.markModel = oneOf(buttons, 'aria-checked', (at) => this.#useModel(models[at], this.#collect()));
    return h('div', { class: 'segments models', role: 'radiogroup', 'aria-label': t('model.title') }, buttons);
  }

  #draw() {
    this.promptBox = h('div', { class: 'promptbox' });
    this.fieldBox = h('div', { class: 'fields' });
    this.schemaBox = h('div', {});
    this.modelNote = h('p', { class: 'hint' });
    this.priceBox = h('strong', { class: 'price' }, '–');
    this.priceNote = h('span', { class: 'hint' });
    this.balanceBox = h('span', { class: 'hint' });
    this.facts.balance.watch((balance) => { this.balanceBox.textContent = balance === null ? '' : t('run.balance', { balance: money(balance) }); });
    this.runButton = h('button', { type: 'submit', class: 'button primary run' }, icon('play'), h('span', {}, t('run.run')), h('kbd', {}, 'Ctrl ↵'));
    const problem = h('p', { class: 'fielderror', role: 'alert' });
    this.problem.watch((text) => { problem.textContent = text; });
    this.form = h('form', { class: 'panel form', novalidate: true, 'aria-label': t('play.form'), onsubmit: (event) => { event.preventDefault(); this.run(); } },
      this.#modelChoice(), this.modelNote, h('h2', { class: 'sectiontitle' }, t('refs.title')), this.references.element, this.promptBox, this.fieldBox,
      h('div', { class: 'runbar' }, h('div', { class: 'pricebox' }, this.priceBox, this.priceNote, this.balanceBox), this.runButton), problem);
    this.form.addEventListener('keydown', (event) => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); this.run(); } });
    this.results = this.#drawResults();
    return h('div', { class: 'play' }, h('div', { class: 'columns' }, this.form, this.results), exampleStrip(this), this.#drawTabs());
  }

  #drawResults() {
    const list = h('div', { class: 'jobs' });
    const idle = h('div', { class: 'idle' }, icon('image', 40), h('h2', {}, t('idle.title')), h('p', {}, t('idle.text')));
    const cards = new Map();
    jobs.watch((all) => {
      idle.hidden = all.length > 0;
      for (const [id, card] of cards) if (!all.some((job) => job.id === id)) { card.element.remove(); cards.delete(id); }
      all.forEach((job, at) => {
        let card = cards.get(job.id);
        if (!card) {
          card = new Card(job, this);
          cards.set(job.id, card);
          list.insertBefore(card.element, list.children[at] ?? null);
        } else {
          const was = card.shown;
          card.update(job);
          if (was === 'running' && card.shown !== 'running') this.facts.refreshBalance();
        }
      });
    });
    return h('section', { class: 'results', 'aria-label': t('play.results') }, idle, list);
  }

  #drawTabs() {
    const base = api.baseUrl();
    const panels = {
      api: () => h('div', { class: 'panel prose' }, h('p', {}, t('api.intro')), sampleBox((show) => this.inputs.watch(show), base), this.schemaBox, h('p', {}, h('a', { href: 'openapi.json' }, 'openapi.json'), ' · ', h('a', { href: 'llms.txt' }, 'llms.txt'))),
      readme: () => readme(this.facts, this.model),
    };
    const made = {};
    const body = h('div', { role: 'tabpanel', tabindex: '-1', id: 'playtab' });
    const names = Object.keys(panels);
    const tabs = names.map((name) => h('button', { type: 'button', role: 'tab', class: 'tab', id: `tab-${name}`, 'aria-controls': 'playtab' }, t(`tab.${name}`)));
    const show = (at) => {
      made[at] ??= panels[names[at]]();
      replace(body, made[at]);
      body.setAttribute('aria-labelledby', tabs[at].id);
    };
    oneOf(tabs, 'aria-selected', show)(0);
    show(0);
    return h('section', { class: 'playtabs' }, h('div', { class: 'tabs', role: 'tablist', 'aria-label': t('tab.title') }, tabs), body);
  }
}
