/* The form, made from the JSON Schema that the catalogue gives for a model: a changed schema changes the form.
 *
 * Each field is { name, element, get(), set(value), error(text) }. get() returns undefined for "not given", and then the
 * server's default holds. */
import { h, replace, uniqueId } from './dom.js';
import { icon } from './icons.js';
import { t } from './i18n.js';
import { oneOf } from './parts.js';

const RATIOS = [[1, 1], [4, 3], [3, 2], [16, 9], [3, 4], [2, 3], [9, 16]];

function label(name, schema) {
  const known = t(`field.${name}`);
  if (known !== `field.${name}`) return known;
  return schema.title ?? name.replaceAll('_', ' ').replace(/^./, (first) => first.toUpperCase());
}

/* The frame around a control: label, help, the error in words. */
function frame(name, schema, control, { id, wide = false } = {}) {
  const error = h('p', { class: 'fielderror', id: `${id}-error`, role: 'alert' });
  const known = t(`help.${name}`);
  const help = known !== `help.${name}` ? known : schema.description;
  const element = h('div', { class: `field${wide ? ' wide' : ''}`, data: { field: name } },
    h('label', { for: id, class: 'label', id: `${id}-label` }, label(name, schema)), control,
    help && h('p', { class: 'hint', id: `${id}-hint` }, help), error);
  return { element, error: (text) => { error.textContent = text ?? ''; element.classList.toggle('wrong', Boolean(text)); } };
}

function textField(name, schema, changed) {
  const id = uniqueId(name);
  const isLong = name === 'prompt' || schema['x-ui-component'] === 'textarea';
  const input = h(isLong ? 'textarea' : 'input', { id, class: 'input', rows: schema['x-rows'] ?? 4, placeholder: schema['x-placeholder'], maxlength: schema.maxLength, 'aria-describedby': `${id}-error`, oninput: changed });
  const outer = frame(name, schema, input, { id, wide: true });
  return { name, ...outer, input, get: () => input.value || undefined, set: (value) => { input.value = value ?? ''; } };
}

function choiceField(name, schema, changed) {
  const id = uniqueId(name);
  const buttons = schema.enum.map((one) => h('button', { type: 'button', role: 'radio', class: 'segment' }, one));
  const group = h('div', { id, class: 'segments', role: 'radiogroup', 'aria-labelledby': `${id}-label` }, buttons);
  const outer = frame(name, schema, group, { id });
  let value;
  const show = oneOf(buttons, 'aria-checked', (at) => { value = schema.enum[at]; changed(); });
  const set = (wanted) => { value = wanted ?? schema.default ?? schema.enum[0]; show(schema.enum.indexOf(value)); };
  set();
  return { name, ...outer, get: () => value, set };
}

function rangeError(value, schema) {
  if (value === undefined) return '';
  if (!Number.isFinite(value)) return t('error.notnumber');
  if (schema.type === 'integer' && !Number.isInteger(value)) return t('error.notwhole');
  if (schema.minimum !== undefined && value < schema.minimum) return t('error.toosmall', { least: schema.minimum });
  if (schema.maximum !== undefined && value > schema.maximum) return t('error.toolarge', { most: schema.maximum });
  return '';
}

function numberField(name, schema, changed) {
  const id = uniqueId(name);
  const step = schema.step ?? (schema.type === 'integer' ? 1 : 0.1);
  const hasRange = schema.minimum !== undefined && schema.maximum !== undefined && schema.maximum - schema.minimum <= 1000;
  const box = h('input', { id, type: 'number', class: 'input narrow', step: 'any', min: schema.minimum, max: schema.maximum, value: schema.default ?? '', 'aria-describedby': `${id}-error` });
  const slider = hasRange && h('input', { type: 'range', class: 'slider', min: schema.minimum, max: schema.maximum, step, value: schema.default ?? schema.minimum, 'aria-label': label(name, schema), tabindex: '-1' });
  const outer = frame(name, schema, h('div', { class: 'row' }, slider, box), { id });
  const get = () => (box.value === '' && !box.validity.badInput ? undefined : Number(box.validity.badInput ? NaN : box.value));
  const check = () => { const problem = rangeError(get(), schema); outer.error(problem); return problem; };
  box.addEventListener('input', () => { if (slider && box.value !== '') slider.value = box.value; check(); changed(); });
  if (slider) slider.addEventListener('input', () => { box.value = slider.value; check(); changed(); });
  return { name, ...outer, get, check, set: (value) => { box.value = value ?? schema.default ?? ''; if (slider) slider.value = box.value; check(); } };
}

function switchField(name, schema, changed) {
  const id = uniqueId(name);
  const box = h('input', { id, type: 'checkbox', class: 'switch', role: 'switch', checked: Boolean(schema.default), onchange: changed });
  const outer = frame(name, schema, box, { id });
  return { name, ...outer, get: () => (box.checked === Boolean(schema.default) ? undefined : box.checked), set: (value) => { box.checked = Boolean(value ?? schema.default); } };
}

/* A seed is drawn anew for each run unless it is locked. */
function seedField(name, schema, changed) {
  const id = uniqueId(name);
  const most = schema.maximum ?? 2147483647;
  const box = h('input', { id, type: 'number', class: 'input', min: 0, max: most, step: 1, placeholder: t('seed.random'), 'aria-describedby': `${id}-error` });
  const lock = h('button', { type: 'button', class: 'button quiet square', 'aria-pressed': 'false' });
  const dice = h('button', { type: 'button', class: 'button quiet square', title: t('seed.roll'), 'aria-label': t('seed.roll') }, icon('dice'));
  const outer = frame(name, schema, h('div', { class: 'row' }, box, dice, lock), { id });
  let isLocked = false;
  const show = () => {
    replace(lock, icon(isLocked ? 'lock' : 'unlock'));
    lock.setAttribute('aria-pressed', String(isLocked));
    lock.title = isLocked ? t('seed.unlock') : t('seed.lock');
    lock.setAttribute('aria-label', lock.title);
  };
  const get = () => (box.value === '' ? undefined : Number(box.value));
  const check = () => { const problem = rangeError(get(), { type: 'integer', minimum: 0, maximum: most }); outer.error(problem); return problem; };
  lock.addEventListener('click', () => {
    isLocked = !isLocked;
    if (isLocked && box.value === '') box.value = String(Math.floor(Math.random() * most));
    if (!isLocked) box.value = '';
    show();
    check();
    changed();
  });
  dice.addEventListener('click', () => { box.value = String(Math.floor(Math.random() * most)); isLocked = true; show(); check(); changed(); });
  box.addEventListener('input', () => { isLocked = box.value !== ''; show(); check(); changed(); });
  show();
  return { name, ...outer, get, check, set: (value) => { box.value = value === undefined || value === null || value < 0 ? '' : String(value); isLocked = box.value !== ''; show(); check(); } };
}

/* Width and height: as the first reference, a ratio at the model's own area, or two numbers. */
function sizeField(name, schema, changed, { nativeArea = 1048576 } = {}) {
  const id = uniqueId(name);
  const least = schema.minimum ?? 256;
  const most = schema.maximum ?? 1536;
  const round = (value) => Math.min(most, Math.max(least, Math.round(value / 16) * 16));
  const sizeOf = ([w, b]) => [round(Math.sqrt(nativeArea * w / b)), round(Math.sqrt(nativeArea * b / w))];
  const box = (which) => h('input', { id: which === 'width' ? id : undefined, type: 'number', class: 'input narrow', min: least, max: most, step: 1, placeholder: t('size.auto'), 'aria-label': t(`size.${which}`), 'aria-describedby': `${id}-error` });
  const width = box('width');
  const height = box('height');
  const swap = h('button', { type: 'button', class: 'button quiet square', title: t('size.swap'), 'aria-label': t('size.swap') }, icon('swap'));
  const match = h('button', { type: 'button', class: 'chip', 'aria-pressed': 'true' }, t('size.match'));
  const chips = RATIOS.map((ratio) => h('button', { type: 'button', class: 'chip ratio', 'aria-pressed': 'false', title: sizeOf(ratio).join(' × ') },
    h('span', { class: 'ratioshape', style: { '--w': `${Math.sqrt(ratio[0] / ratio[1])}`, '--h': `${Math.sqrt(ratio[1] / ratio[0])}` } }), ratio.join(':')));
  const outer = frame(name, schema, h('div', { class: 'size' }, h('div', { class: 'chips' }, match, chips), h('div', { class: 'row' }, width, h('span', { class: 'times' }, '×'), height, swap)), { id, wide: true });
  const get = () => {
    if (width.value === '' && height.value === '') return undefined;
    return `${width.value}*${height.value}`;
  };
  const check = () => {
    let problem = '';
    if ((width.value === '') !== (height.value === '')) problem = t('size.both');
    else if (width.value !== '') problem = rangeError(Number(width.value), { type: 'integer', minimum: least, maximum: most }) || rangeError(Number(height.value), { type: 'integer', minimum: least, maximum: most });
    outer.error(problem);
    return problem;
  };
  const show = () => {
    match.setAttribute('aria-pressed', String(get() === undefined));
    chips.forEach((chip, index) => chip.setAttribute('aria-pressed', String(get() === sizeOf(RATIOS[index]).join('*'))));
  };
  const put = (pair) => { [width.value, height.value] = pair; check(); show(); changed(); };
  match.addEventListener('click', () => put(['', '']));
  chips.forEach((chip, index) => chip.addEventListener('click', () => put(sizeOf(RATIOS[index]))));
  swap.addEventListener('click', () => put([height.value, width.value]));
  for (const one of [width, height]) one.addEventListener('input', () => { check(); show(); changed(); });
  return {
    name, ...outer, get, check,
    set: (value) => {
      const pair = /^(\d+)\s*[*xX]\s*(\d+)$/.exec(String(value ?? '')) ?? (Number.isFinite(Number(value)) && value ? [0, value, value] : null);
      [width.value, height.value] = pair ? [pair[1], pair[2]] : ['', ''];
      check();
      show();
    },
  };
}

/* The field for a property, or null for one that this page handles itself (pictures) or must not show. */
export function makeField(name, schema, changed, facts) {
  if (schema.disabled || schema['x-hidden']) return null;
  if (/images?$/.test(name) && (schema.type === 'array' || /uploader/.test(schema['x-ui-component'] ?? '') || name === 'image')) return null;
  if (name === 'size') return sizeField(name, schema, changed, facts);
  if (name === 'seed') return seedField(name, schema, changed);
  if (schema.enum) return choiceField(name, schema, changed);
  if (schema.type === 'integer' || schema.type === 'number') return numberField(name, schema, changed);
  if (schema.type === 'boolean') return switchField(name, schema, changed);
  return textField(name, schema, changed);
}

export function schemaOf(model) {
  const all = model.api_schema?.api_schemas ?? [];
  return (all.find((one) => one.type === 'model_run') ?? all[0])?.request_schema ?? { properties: {}, required: [] };
}

export function orderOf(schema) {
  const names = Object.keys(schema.properties ?? {});
  const order = schema['x-order-properties'] ?? [];
  return [...order.filter((name) => names.includes(name)), ...names.filter((name) => !order.includes(name))];
}
