/* Finished edits to start from: a click fills the form with the same pictures and words. */
import { h, replace } from './dom.js';
import { t } from './i18n.js';

const SHOWN_FIRST = 6;

async function filesOf(example) {
  return Promise.all(example.images.map(async (name) => {
    const blob = await (await fetch(`web/examples/${name}`)).blob();
    return { file: new File([blob], name, { type: blob.type }) };
  }));
}

export function exampleStrip(playground) {
  const strip = h('div', { class: 'examples' });
  const section = h('section', { class: 'examplebox', hidden: true, 'aria-label': t('examples.title') });
  fetch('web/examples/examples.json').then((answer) => (answer.ok ? answer.json() : [])).then((examples) => {
    if (!examples.length) return;
    let isAll = false;
    const all = h('button', { type: 'button', class: 'button quiet small', 'aria-expanded': 'false', onclick: () => { isAll = !isAll; show(); } });
    const card = (example) => h('button', {
      type: 'button', class: 'example', onclick: async () => playground.fill(playground.model.model_id, { prompt: example.prompt, ...(example.inputs ?? {}) }, await filesOf(example)),
    },
    h('span', { class: 'examplepictures' }, h('span', { class: 'exampleins' }, example.images.map((name) => h('img', { src: `web/examples/${name}`, alt: '', loading: 'lazy', width: 64, height: 64 }))), h('img', { class: 'exampleout', src: `web/examples/${example.result}`, alt: t('examples.result'), loading: 'lazy', width: 128, height: 128 })),
    h('span', { class: 'exampleprompt' }, example.prompt));
    const show = () => {
      replace(strip, examples.slice(0, isAll ? examples.length : SHOWN_FIRST).map(card));
      all.textContent = isAll ? t('examples.fewer') : t('examples.all', { count: examples.length });
      all.setAttribute('aria-expanded', String(isAll));
      all.hidden = examples.length <= SHOWN_FIRST;
    };
    replace(section, h('div', { class: 'row' }, h('h2', { class: 'sectiontitle' }, t('examples.title')), h('span', { class: 'push' }), all), h('p', { class: 'hint' }, t('examples.note')), strip);
    show();
    section.hidden = false;
  }, () => {});
  return section;
}
