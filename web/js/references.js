/* The tray of reference pictures: up to as many as the model takes, numbered as prompts call them.
 *
 * A picture comes by file dialog, drop, paste, camera or address. It is uploaded at once, whole; the thumbnail alone is
 * made smaller. One given by address is fetched by the server, never by this page. */
import { h, replace, Value, toast } from './dom.js';
import { icon } from './icons.js';
import { t } from './i18n.js';
import { openDialog, sentenceOf } from './parts.js';
import * as api from './api.js';

const KEPT = 'kontext.references';
const THUMB_PX = 320;
let made = 0;

async function thumbnail(blob) {
  const bitmap = await createImageBitmap(blob);
  const scale = Math.min(1, THUMB_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = h('canvas', { width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)) });
  canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const size = { width: bitmap.width, height: bitmap.height };
  bitmap.close();
  return { thumb: canvas.toDataURL('image/webp', 0.8), ...size };
}

export class References {
  /* `limits`: { count, bytes }. `items` is watched by whoever depends on the pictures. */
  constructor(limits) {
    this.limits = limits;
    this.items = new Value([]);
    this.problem = new Value('');
    this.#restore();
    this.element = this.#draw();
  }

  urls() { return this.items.get().map((item) => item.url).filter(Boolean); }
  isBusy() { return this.items.get().some((item) => item.state === 'uploading'); }
  hasBroken() { return this.items.get().some((item) => item.state === 'broken'); }

  /* Waits until nothing is being uploaded. */
  settled() { return Promise.all(this.items.get().map((item) => item.ready)); }

  setLimits(limits) {
    this.limits = limits;
    if (this.items.get().length > limits.count) this.items.set(this.items.get().slice(0, limits.count));
    this.items.set(this.items.get());
  }

  clear() { this.items.set([]); }

  addFiles(files, at = null) {
    this.problem.set('');
    for (const file of files) {
      if (file.type && !file.type.startsWith('image/')) { this.problem.set(t('refs.notpicture', { name: file.name || file.type })); continue; }
      if (file.size > this.limits.bytes) { this.problem.set(t('refs.toolarge', { name: file.name, limit: Math.floor(this.limits.bytes / 1048576) })); continue; }
      if (at === null && this.items.get().length >= this.limits.count) { this.problem.set(t('refs.toomany', { count: this.limits.count })); return; }
      this.#insert(this.#fromFile(file), at);
      at = null;
    }
  }

  /* `known`: { name, thumb } of a picture that the server holds already. */
  addUrl(url, known = {}) {
    this.problem.set('');
    if (this.items.get().length >= this.limits.count) { this.problem.set(t('refs.toomany', { count: this.limits.count })); return false; }
    const item = { key: ++made, url, name: known.name ?? url, thumb: known.thumb ?? '', state: 'ready', ready: Promise.resolve() };
    this.#insert(item, null);
    const own = api.localUrl(url);
    if (!item.thumb && own !== url) {
      fetch(own).then((answer) => (answer.ok ? answer.blob() : Promise.reject(new Error(answer.status)))).then(thumbnail)
        .then((made) => this.#change(item, made), () => this.#change(item, {}));
    }
    return true;
  }

  #fromFile(file) {
    const item = { key: ++made, url: '', name: file.name || t('refs.pasted'), thumb: '', state: 'uploading', file };
    thumbnail(file).then((made) => this.#change(item, made), () => this.#change(item, { thumb: '' }));
    item.ready = api.upload(file, file.name || 'picture.png').then(
      (url) => this.#change(item, { url, state: 'ready' }),
      (problem) => this.#change(item, { state: 'broken', error: sentenceOf(problem) }),
    );
    return item;
  }

  #insert(item, at) {
    const items = [...this.items.get()];
    if (at === null) items.push(item);
    else items[at] = item;
    this.items.set(items);
  }

  #change(item, changes) {
    Object.assign(item, changes);
    this.items.set(this.items.get());
  }

  #move(from, to) {
    const items = [...this.items.get()];
    if (to < 0 || to >= items.length || from === to) return;
    items.splice(to, 0, items.splice(from, 1)[0]);
    this.items.set(items);
    this.element.querySelectorAll('.ref')[to]?.focus();
  }

  #remove(index) {
    const items = [...this.items.get()];
    items.splice(index, 1);
    this.items.set(items);
    (this.element.querySelectorAll('.ref')[Math.min(index, items.length - 1)] ?? this.element.querySelector('.refadd'))?.focus();
  }

  #restore() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? '[]');
      this.items.set(kept.map((item) => ({ key: ++made, state: 'ready', ready: Promise.resolve(), ...item })));
    } catch { /* what was kept is of no use: start empty */ }
    this.items.watch((items) => {
      const kept = items.filter((item) => item.state === 'ready').map(({ url, name, thumb, width, height }) => ({ url, name, thumb, width, height }));
      try { sessionStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* full: nothing is kept then */ }
    });
  }

  #pick(at) {
    const input = h('input', { type: 'file', accept: 'image/*', multiple: at === null });
    input.addEventListener('change', () => this.addFiles([...input.files], at));
    input.click();
  }

  #card(item, index, count) {
    const number = index + 1;
    const keys = (event) => {
      const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      if (event.target !== event.currentTarget) return;
      if (step && (event.altKey || event.ctrlKey)) { event.preventDefault(); this.#move(index, index + step); }
      else if (step) { event.preventDefault(); this.element.querySelectorAll('.ref')[index + step]?.focus(); }
      else if (event.key === 'Delete' || event.key === 'Backspace') { event.preventDefault(); this.#remove(index); }
    };
    const small = (name, label, act, disabled = false) => h('button', { class: 'chip', type: 'button', title: label, 'aria-label': `${label} (${t('refs.reference', { number })})`, onclick: act, disabled }, icon(name, 16));
    return h('li', {
      class: `ref ${item.state}`, tabindex: '0', draggable: 'true', data: { index }, 'aria-label': `${t('refs.reference', { number })}: ${item.name}`, onkeydown: keys,
      ondragstart: (event) => { event.dataTransfer.setData('application/x-kontext-reference', String(index)); event.dataTransfer.effectAllowed = 'move'; },
    },
    item.thumb ? h('img', { src: item.thumb, alt: '', draggable: 'false' }) : h('span', { class: 'refblank' }, icon(item.url && item.state === 'ready' ? 'link' : 'image', 28), h('span', { class: 'refname' }, item.name)),
    h('span', { class: 'refnumber', 'aria-hidden': 'true' }, number),
    item.state === 'uploading' && h('span', { class: 'refstate' }, h('span', { class: 'spin' }), t('refs.uploading')),
    item.state === 'broken' && h('span', { class: 'refstate bad' }, item.error),
    h('span', { class: 'reftools' },
      small('left', t('refs.earlier'), () => this.#move(index, index - 1), index === 0),
      small('right', t('refs.later'), () => this.#move(index, index + 1), index === count - 1),
      small('repeat', t('refs.replace'), () => this.#pick(index)),
      small('close', t('refs.remove'), () => this.#remove(index))));
  }

  #addBox() {
    const address = h('input', { type: 'url', class: 'input', placeholder: 'https://…', 'aria-label': t('refs.address') });
    const take = () => {
      const url = address.value.trim();
      if (!/^https?:\/\/\S+$/i.test(url)) { this.problem.set(t('refs.badaddress')); address.focus(); return; }
      if (this.addUrl(url)) address.value = '';
    };
    address.addEventListener('keydown', (event) => { if (event.key === 'Enter') { event.preventDefault(); take(); } });
    const hasCamera = Boolean(navigator.mediaDevices?.getUserMedia);
    return h('div', { class: 'refaddbox' },
      h('button', { type: 'button', class: 'refadd', onclick: () => this.#pick(null) }, icon('plus', 22), h('span', {}, t('refs.add')), h('span', { class: 'hint' }, t('refs.how'))),
      h('div', { class: 'row' }, address, h('button', { type: 'button', class: 'button quiet', onclick: take }, t('refs.addaddress')),
        hasCamera && h('button', { type: 'button', class: 'button quiet square', title: t('refs.camera'), 'aria-label': t('refs.camera'), onclick: () => this.#camera() }, icon('camera'))));
  }

  async #camera() {
    let stream;
    try { stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } }); } catch { toast(t('refs.nocamera'), 'bad'); return; }
    const video = h('video', { autoplay: true, playsinline: true, class: 'camera' });
    video.srcObject = stream;
    const dialog = openDialog({ class: 'dialog', 'aria-label': t('refs.camera') }, video,
      h('div', { class: 'row end' },
        h('button', { type: 'button', class: 'button quiet', onclick: () => dialog.close() }, t('cancel')),
        h('button', {
          type: 'button', class: 'button', onclick: () => {
            const canvas = h('canvas', { width: video.videoWidth, height: video.videoHeight });
            canvas.getContext('2d').drawImage(video, 0, 0);
            canvas.toBlob((blob) => { this.addFiles([new File([blob], 'camera.png', { type: 'image/png' })]); dialog.close(); }, 'image/png');
          },
        }, icon('camera'), t('refs.take'))));
    dialog.addEventListener('close', () => { for (const track of stream.getTracks()) track.stop(); });
  }

  #draw() {
    const list = h('ol', { class: 'refs', 'aria-label': t('refs.title') });
    const add = this.#addBox();
    const problem = h('p', { class: 'fielderror', role: 'alert' });
    const box = h('section', { class: 'reftray' }, list, add, problem);
    this.items.watch((items) => {
      const focused = [...list.children].indexOf(document.activeElement);
      replace(list, items.map((item, index) => this.#card(item, index, items.length)));
      if (focused >= 0) list.children[focused]?.focus();
      add.hidden = items.length >= this.limits.count;
    });
    this.problem.watch((text) => { problem.textContent = text; });
    box.addEventListener('dragover', (event) => { event.preventDefault(); box.classList.add('over'); });
    box.addEventListener('dragleave', (event) => { if (!box.contains(event.relatedTarget)) box.classList.remove('over'); });
    box.addEventListener('drop', (event) => {
      event.preventDefault();
      box.classList.remove('over');
      const target = event.target.closest?.('.ref');
      const moved = event.dataTransfer.getData('application/x-kontext-reference');
      if (moved !== '') { this.#move(Number(moved), target ? Number(target.dataset.index) : this.items.get().length - 1); return; }
      const files = [...event.dataTransfer.files];
      if (files.length) this.addFiles(files, files.length === 1 && target ? Number(target.dataset.index) : null);
      else {
        const url = event.dataTransfer.getData('text/uri-list').split('\n')[0];
        if (/^https?:/.test(url)) this.addUrl(url);
      }
    });
    return box;
  }
}
