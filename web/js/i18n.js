/* Words. English is complete (text/en.json); another language may lack some and then shows English.
 *
 *     t('run.about', { count: 33 })     "about {count} runs per $1"
 *
 * A text may be an object of plural forms ({"one": "…", "other": "…"}), chosen by `count` with the language's own rules. */

export const LANGUAGES = { en: 'English', de: 'Deutsch', zh: '中文' };
const KEPT = 'kontext.language';

let english = {};
let texts = {};
let language = 'en';

async function load(name) {
  const answer = await fetch(`web/text/${name}.json`);
  if (!answer.ok) throw new Error(`web/text/${name}.json: ${answer.status}`);
  return answer.json();
}

export function preferredLanguage() {
  const kept = localStorage.getItem(KEPT);
  if (kept && LANGUAGES[kept]) return kept;
  for (const wish of navigator.languages ?? []) {
    const short = wish.slice(0, 2).toLowerCase();
    if (LANGUAGES[short]) return short;
  }
  return 'en';
}

export async function useLanguage(name, keep = false) {
  [english, texts] = name === 'en' ? await load('en').then((all) => [all, all]) : await Promise.all([load('en'), load(name)]);
  language = name;
  document.documentElement.lang = name;
  if (keep) localStorage.setItem(KEPT, name);
}

export function currentLanguage() { return language; }

export function t(key, values = {}) {
  let text = texts[key] ?? english[key] ?? key;
  if (Array.isArray(text)) return text;
  if (typeof text === 'object') {
    const form = new Intl.PluralRules(language).select(values.count ?? 0);
    text = text[form] ?? text.other;
  }
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
}

/* US dollars with as many digits as a price needs: $0.03, $0.025, $12.40. */
export function money(value) {
  const digits = Math.abs(value) > 0 && Math.abs(value * 100 - Math.round(value * 100)) > 1e-6 ? 3 : 2;
  return new Intl.NumberFormat(language, { style: 'currency', currency: 'USD', currencyDisplay: 'narrowSymbol', maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
}

export function duration(ms) {
  const seconds = ms / 1000;
  if (seconds < 10) return t('time.seconds', { seconds: number(seconds, 1) });
  if (seconds < 90) return t('time.seconds', { seconds: number(Math.round(seconds)) });
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return t('time.minutes', { minutes: number(minutes) });
  return t('time.hours', { hours: number(minutes / 60, 1) });
}

export function when(date) {
  return new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(date);
}
