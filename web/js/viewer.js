/* A result at full size: alone, or with a slider against any reference. Zoom and place are one for both, so that the two
 * pictures stay in step. */
import { h } from './dom.js';
import { icon } from './icons.js';
import { t } from './i18n.js';
import { copyButton, openDialog } from './parts.js';

const ZOOM_MOST = 8;

/* `pictures`: URLs of the results; `references`: [{ url, label }]; `first`: index of the one to show. */
export function openViewer({ pictures, references, first = 0, compare = false }) {
  let index = first;
  let against = compare && references.length ? 0 : -1;
  let zoom = 1;
  let x = 0;
  let y = 0;

  const after = h('img', { alt: t('viewer.result'), class: 'layer', draggable: 'false' });
  const before = h('img', { alt: t('viewer.reference'), class: 'layer', draggable: 'false' });
  const cutBox = h('span', { class: 'cutbox' }, before);
  const line = h('span', { class: 'divider', 'aria-hidden': 'true' }, h('span', { class: 'grip' }, icon('compare', 18)));
  const stage = h('div', { class: 'stage' }, after, cutBox, line);
  const slider = h('input', { type: 'range', min: 0, max: 100, step: 0.5, value: 50, class: 'slider wide', 'aria-label': t('viewer.slider') });
  const choice = h('select', { class: 'input narrow', 'aria-label': t('viewer.compare') },
    h('option', { value: '-1' }, t('viewer.alone')), references.map((reference, at) => h('option', { value: String(at) }, reference.label)));
  const zoomText = h('output', { class: 'mono' });

  const place = () => {
    stage.style.setProperty('--zoom', String(zoom));
    stage.style.setProperty('--x', `${x}px`);
    stage.style.setProperty('--y', `${y}px`);
    zoomText.textContent = `${Math.round(zoom * 100)} %`;
  };
  const setZoom = (wanted) => {
    zoom = Math.min(ZOOM_MOST, Math.max(1, wanted));
    if (zoom === 1) { x = 0; y = 0; }
    place();
  };
  const cut = () => stage.style.setProperty('--cut', `${slider.value}%`);
  const show = () => {
    after.src = pictures[index];
    const isComparing = against >= 0;
    stage.classList.toggle('comparing', isComparing);
    slider.hidden = !isComparing;
    if (isComparing) before.src = references[against].url;
    choice.value = String(against);
    count.textContent = pictures.length > 1 ? `${index + 1} / ${pictures.length}` : '';
    cut();
    place();
  };
  const go = (step) => { index = (index + step + pictures.length) % pictures.length; show(); };
  const tool = (name, text, act) => h('button', { type: 'button', class: 'button quiet square', title: text, 'aria-label': text, onclick: act }, icon(name));

  const count = h('span', { class: 'hint' });
  const dialog = openDialog({ class: 'viewer', 'aria-label': t('viewer.title') },
    h('div', { class: 'viewerbar' },
      pictures.length > 1 && tool('left', t('viewer.previous'), () => go(-1)), count, pictures.length > 1 && tool('right', t('viewer.next'), () => go(1)),
      references.length > 0 && choice, slider,
      h('span', { class: 'push' }), tool('zoomout', t('viewer.zoomout'), () => setZoom(zoom / 1.5)), zoomText, tool('zoomin', t('viewer.zoomin'), () => setZoom(zoom * 1.5)),
      tool('close', t('close'), () => dialog.close())),
    stage);

  slider.addEventListener('input', cut);
  choice.addEventListener('change', () => { against = Number(choice.value); show(); });
  stage.addEventListener('wheel', (event) => { event.preventDefault(); setZoom(zoom * (event.deltaY < 0 ? 1.15 : 1 / 1.15)); }, { passive: false });
  stage.addEventListener('dblclick', () => setZoom(zoom > 1 ? 1 : 3));
  stage.addEventListener('pointerdown', (event) => {
    stage.setPointerCapture(event.pointerId);
    const startX = event.clientX - x;
    const startY = event.clientY - y;
    const box = stage.getBoundingClientRect();
    const cutting = against >= 0 && Math.abs(event.clientX - box.left - box.width * slider.value / 100) < 28;
    const move = (now) => {
      if (cutting) { slider.value = String(100 * (now.clientX - box.left) / box.width); cut(); } else if (zoom > 1) { x = now.clientX - startX; y = now.clientY - startY; place(); }
    };
    stage.addEventListener('pointermove', move);
    stage.addEventListener('pointerup', () => stage.removeEventListener('pointermove', move), { once: true });
  });
  dialog.addEventListener('keydown', (event) => {
    if (event.target === slider || event.target === choice) return;
    const act = { '+': () => setZoom(zoom * 1.5), '-': () => setZoom(zoom / 1.5), 0: () => setZoom(1), ArrowLeft: () => go(-1), ArrowRight: () => go(1) }[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  show();
}

/* A text to look at and to copy. */
export function openText(title, text) {
  const dialog = openDialog({ class: 'dialog wide', 'aria-label': title },
    h('div', { class: 'row' }, h('h2', {}, title), h('span', { class: 'push' }), copyButton(() => text),
      h('button', { type: 'button', class: 'button quiet square', 'aria-label': t('close'), onclick: () => dialog.close() }, icon('close'))),
    h('pre', { class: 'code', tabindex: '0' }, text));
}
