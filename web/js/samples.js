/* The same run as code: curl, Python, JavaScript and the command line, for exactly the inputs at hand. */
import { h, replace } from './dom.js';
import { t } from './i18n.js';
import { schemaOf, orderOf } from './fields.js';
import { copyButton, oneOf } from './parts.js';

function shellQuote(text) { return `'${text.replaceAll("'", "'\\''")}'`; }

function pythonValue(value, indent = 1) {
  const pad = '    '.repeat(indent);
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (value === null) return 'None';
  if (Array.isArray(value)) return value.length ? `[\n${value.map((one) => `${pad}    ${pythonValue(one, indent + 1)},\n`).join('')}${pad}]` : '[]';
  if (typeof value === 'object') return `{\n${Object.entries(value).map(([key, one]) => `${pad}    ${JSON.stringify(key)}: ${pythonValue(one, indent + 1)},\n`).join('')}${pad}}`;
  return JSON.stringify(value);
}

function makeSamples(model, inputs, base) {
  const json = JSON.stringify(inputs, null, 2);
  const words = [];
  for (const image of inputs.images ?? (inputs.image ? [inputs.image] : [])) words.push(`-i ${shellQuote(image.split('/').pop())}`);
  words.push(`-p ${shellQuote(inputs.prompt ?? '')}`);
  if (inputs.size) words.push(`--size ${String(inputs.size).replace('*', 'x')}`);
  if (inputs.num_inference_steps !== undefined) words.push(`--steps ${inputs.num_inference_steps}`);
  if (inputs.guidance_scale !== undefined) words.push(`--guidance ${inputs.guidance_scale}`);
  if (inputs.seed !== undefined) words.push(`--seed ${inputs.seed}`);
  if (inputs.num_images > 1) words.push(`-n ${inputs.num_images}`);
  words.push(`-o result.${inputs.output_format === 'jpeg' ? 'jpg' : inputs.output_format ?? 'jpg'}`);
  return {
    curl: `curl -X POST "${base}/api/v3/${model}" \\\n  -H "Authorization: Bearer $KONTEXT_KEY" \\\n  -H "Content-Type: application/json" \\\n  -d ${shellQuote(json)}\n\n# the answer holds an id; the result:\ncurl -H "Authorization: Bearer $KONTEXT_KEY" \\\n  "${base}/api/v3/predictions/ID/result?wait=60"`,
    Python: `# pip install wavespeed\nimport os\nfrom wavespeed import Client\n\nclient = Client(api_key=os.environ["KONTEXT_KEY"], base_url=${JSON.stringify(base)})\noutput = client.run(\n    ${JSON.stringify(model)},\n    ${pythonValue(inputs)},\n)\nprint(output["outputs"][0])`,
    JavaScript: `// npm install wavespeed\nimport { Client } from 'wavespeed';\n\nconst client = new Client(process.env.KONTEXT_KEY, { baseUrl: ${JSON.stringify(base)} });\nconst result = await client.run(${JSON.stringify(model)}, ${json});\nconsole.log(result.outputs[0]);`,
    kontext: `kontext edit ${words.join(' \\\n  ')}`,
  };
}

export function sampleBox(watchInputs, base) {
  let samples = {};
  let chosen = 'curl';
  const code = h('code');
  const names = ['curl', 'Python', 'JavaScript', 'kontext'];
  const tabs = names.map((name) => h('button', { type: 'button', role: 'tab', class: 'segment' }, name === 'kontext' ? t('api.commandline') : name));
  const show = () => { code.textContent = samples[chosen] ?? ''; };
  const mark = oneOf(tabs, 'aria-selected', (at) => { chosen = names[at]; show(); });
  mark(0);
  watchInputs(({ model, inputs }) => { samples = makeSamples(model, inputs, base); show(); });
  return h('div', { class: 'samples' }, h('div', { class: 'row' }, h('div', { class: 'segments', role: 'tablist', 'aria-label': t('api.samples') }, tabs), h('span', { class: 'push' }), copyButton(() => samples[chosen])), h('pre', { class: 'code', tabindex: '0' }, code));
}

function kindOf(property) {
  const kind = property.type === 'array' ? `${property.items?.type ?? ''}[]` : property.type ?? '';
  return property.enum ? `${kind}: ${property.enum.join(' | ')}` : kind;
}

function rangeOf(property) {
  if (property.minimum !== undefined && property.maximum !== undefined) return `${property.minimum} – ${property.maximum}`;
  if (property.maxItems !== undefined) return t('api.upto', { count: property.maxItems });
  return '';
}

export function requestTable(model) {
  const schema = schemaOf(model);
  const rows = orderOf(schema).map((name) => {
    const property = schema.properties[name];
    const known = t(`help.${name}`);
    return h('tr', {}, h('th', { scope: 'row' }, h('code', {}, name), (schema.required ?? []).includes(name) && h('span', { class: 'badge' }, t('api.required'))),
      h('td', {}, h('code', {}, kindOf(property))), h('td', {}, property.default === undefined || property.default === '' ? '' : JSON.stringify(property.default)), h('td', {}, rangeOf(property)),
      h('td', {}, known !== `help.${name}` ? known : property.description ?? ''));
  });
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': t('api.request') }, h('table', { class: 'table' },
    h('thead', {}, h('tr', {}, ['name', 'type', 'default', 'range', 'meaning'].map((name) => h('th', { scope: 'col' }, t(`api.${name}`))))), h('tbody', {}, rows)));
}

export function responseTable() {
  const rows = ['id', 'model', 'status', 'outputs', 'error', 'code', 'created_at', 'executionTime', 'timings', 'has_nsfw_contents', 'urls', 'progress', 'queue_position', 'eta_ms', 'seeds', 'price', 'warnings'];
  const box = h('tbody');
  replace(box, rows.map((name) => h('tr', {}, h('th', { scope: 'row' }, h('code', {}, name)), h('td', {}, t(`answer.${name}`)))));
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': t('api.response') }, h('table', { class: 'table' }, h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, t('api.name')), h('th', { scope: 'col' }, t('api.meaning')))), box));
}
