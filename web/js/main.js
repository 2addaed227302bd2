/* Start: words, then the key, then the view that the address names (#/, #/history, #/keys, #/status). */
import { h, replace, Value, toast } from './dom.js';
import { icon } from './icons.js';
import { t, LANGUAGES, preferredLanguage, useLanguage, currentLanguage } from './i18n.js';
import { findJobs, forgetJobs } from './jobs.js';
import { Playground } from './play.js';
import { sentenceOf } from './parts.js';
import * as api from './api.js';

const THEMES = ['auto', 'light', 'dark'];
const THEME_ICONS = { auto: 'auto', light: 'sun', dark: 'moon' };
const KEPT_THEME = 'kontext.theme';

const main = document.getElementById('main');
let facts = null;
let views = {};
let shown = null;

/* ---- Theme and language ---- */

function useTheme(theme) {
  document.documentElement.dataset.theme = theme;
  if (theme === 'auto') localStorage.removeItem(KEPT_THEME);
  else localStorage.setItem(KEPT_THEME, theme);
}

function themeButton() {
  const button = h('button', { type: 'button', class: 'button quiet square' });
  const show = () => {
    const { theme } = document.documentElement.dataset;
    replace(button, icon(THEME_ICONS[theme]));
    button.title = t('theme.title', { theme: t(`theme.${theme}`) });
    button.setAttribute('aria-label', button.title);
  };
  button.addEventListener('click', () => { useTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length]); show(); });
  show();
  return button;
}

function languageChoice() {
  return h('select', { class: 'input narrow', 'aria-label': t('language'), value: currentLanguage(), onchange: async (event) => { await useLanguage(event.target.value, true); restart(); } },
    Object.entries(LANGUAGES).map(([name, text]) => h('option', { value: name, lang: name }, text)));
}

/* ---- Frame ---- */

const ROUTES = { '': 'play', history: 'history', keys: 'keys', status: 'status' };

function currentRoute() { return ROUTES[location.hash.replace(/^#\/?/, '').split('?')[0]] ?? 'play'; }

function drawBar() {
  const link = (name, route, iconName) => h('a', { href: `#/${route}`, class: 'navlink', 'aria-label': t(`nav.${name}`), data: { route: name } }, icon(iconName, 18), h('span', {}, t(`nav.${name}`)));
  const isIn = Boolean(facts);
  replace(document.getElementById('bar'),
    h('a', { class: 'brand', href: '#/', 'aria-label': 'kontext' }, h('img', { src: 'web/icon.svg', alt: '', width: 28, height: 28 }), h('span', {}, 'kontext')),
    isIn && h('nav', { class: 'nav', 'aria-label': t('nav.title') }, link('play', '', 'brush'), link('history', 'history', 'list'), link('keys', 'keys', 'key'), link('status', 'status', 'chart')),
    h('span', { class: 'push' }), languageChoice(), themeButton(),
    isIn && h('button', { type: 'button', class: 'button quiet square', title: t('signout'), 'aria-label': t('signout'), onclick: () => signOut('') }, icon('leave')));
  document.getElementById('skip').textContent = t('skip');
  replace(document.getElementById('foot'), h('p', { class: 'hint' }, facts ? t('foot', { version: facts.capabilities.version ?? '', model: facts.capabilities.model.name }) : ''));
}

function markRoute(route) {
  for (const link of document.querySelectorAll('.navlink')) {
    if (link.dataset.route === route) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = route === 'play' ? 'kontext' : `${t(`nav.${route}`)} · kontext`;
}

async function makeView(route) {
  if (route === 'history') { const { HistoryView } = await import('./historyview.js'); return new HistoryView(facts, () => views.play); }
  if (route === 'keys') { const { KeysView } = await import('./keysview.js'); return new KeysView(facts); }
  if (route === 'status') { const { StatusView } = await import('./statusview.js'); return new StatusView(); }
  return new Playground(facts);
}

async function go() {
  if (!facts) return;
  const route = currentRoute();
  markRoute(route);
  const isNew = !views[route];
  views[route] ??= await makeView(route);
  if (route !== currentRoute()) return;
  shown?.stop?.();
  shown = views[route];
  replace(main, shown.element);
  shown.start?.();
  if (!isNew) shown.load?.();
  scrollTo(0, 0);
}

/* ---- Signing in ---- */

function drawSignIn(problem) {
  const input = h('input', { id: 'key', class: 'input', type: 'password', autocomplete: 'current-password', placeholder: 'kx_…', spellcheck: 'false', required: true, 'aria-describedby': 'key-error' });
  const error = h('p', { class: 'fielderror', id: 'key-error', role: 'alert' }, problem);
  replace(main, h('form', { class: 'panel signin', onsubmit: async (event) => {
    event.preventDefault();
    error.textContent = '';
    api.useKey(input.value.trim());
    const failed = await enter();
    if (failed) { error.textContent = failed; input.select(); }
  } }, h('img', { src: 'web/icon.svg', alt: '', width: 56, height: 56 }), h('h1', {}, t('signin.title')), h('p', {}, t('signin.text')),
  h('div', { class: 'field' }, h('label', { class: 'label', for: 'key' }, t('signin.key')), input, error),
  h('button', { type: 'submit', class: 'button primary' }, icon('key'), t('signin.enter')),
  h('p', { class: 'hint' }, t('signin.where')), h('pre', { class: 'code' }, 'kontext key create me')));
  document.title = `${t('signin.enter')} · kontext`;
  input.focus();
}

function signOut(problem) {
  api.useKey('');
  forgetJobs();
  for (const name of ['kontext.form', 'kontext.references']) sessionStorage.removeItem(name);
  shown?.stop?.();
  facts = null;
  views = {};
  drawBar();
  drawSignIn(problem);
}

/* Loads what the views need with the key at hand. Returns a sentence when that fails. */
async function enter() {
  try {
    const [models, balance, capabilities] = await Promise.all([api.models(), api.balance(), api.capabilities()]);
    facts = {
      models, capabilities, balance: new Value(balance.balance), signOut,
      refreshBalance: () => api.balance().then((now) => facts?.balance.set(now.balance), () => {}),
    };
  } catch (problem) {
    return problem.status === 401 || problem.status === 403 ? t('error.key') : sentenceOf(problem);
  }
  drawBar();
  await findJobs();
  await go();
  return '';
}

/* The link of a first start carries a token that is good for one sign-in. It leaves the address at once. */
async function takeToken() {
  const match = /^#signin=([\w-]+)$/.exec(location.hash);
  if (!match) return '';
  history.replaceState(null, '', `${location.pathname}#/`);
  try {
    const { key } = await api.signIn(match[1]);
    api.useKey(key);
    return '';
  } catch { return t('error.token'); }
}

function restart() {
  shown?.stop?.();
  views = {};
  shown = null;
  drawBar();
  if (facts) go();
  else drawSignIn('');
}

async function start() {
  useTheme(THEMES.includes(localStorage.getItem(KEPT_THEME)) ? localStorage.getItem(KEPT_THEME) : 'auto');
  await useLanguage(preferredLanguage());
  const tokenProblem = await takeToken();
  drawBar();
  if (!api.currentKey()) { drawSignIn(tokenProblem); return; }
  const failed = await enter();
  if (failed) { facts = null; drawBar(); drawSignIn(failed); }
}

addEventListener('hashchange', go);
document.addEventListener('paste', (event) => {
  const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith('image/'));
  if (!files.length || !views.play || currentRoute() !== 'play') return;
  event.preventDefault();
  views.play.references.addFiles(files);
});
addEventListener('dragover', (event) => event.preventDefault());
addEventListener('drop', (event) => event.preventDefault());
addEventListener('offline', () => toast(t('error.offline'), 'bad'));
start();
