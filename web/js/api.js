/* The REST interface, as this page uses it. Paths are relative to the page, so that a prefix in front of it works. */

class ApiError extends Error {
  constructor(status, message, requestId) {
    super(message);
    this.status = status; // 0: the server was not reached
    this.requestId = requestId;
  }
}

const KEPT = 'kontext.key';
let key = sessionStorage.getItem(KEPT) ?? '';

export function currentKey() { return key; }
export function useKey(value) {
  key = value;
  if (value) sessionStorage.setItem(KEPT, value);
  else sessionStorage.removeItem(KEPT);
}

export function baseUrl() { return new URL('.', document.baseURI).href.replace(/\/$/, ''); }

async function raw(method, path, { body, form, headers = {}, signal } = {}) {
  const all = { ...headers };
  if (key) all.Authorization = `Bearer ${key}`;
  if (body !== undefined) all['Content-Type'] = 'application/json';
  try {
    return await fetch(path, { method, headers: all, body: form ?? (body === undefined ? undefined : JSON.stringify(body)), signal, cache: 'no-store', credentials: 'omit' });
  } catch (problem) {
    if (problem.name === 'AbortError') throw problem;
    throw new ApiError(0, 'offline');
  }
}

/* Returns `data` of the envelope, or throws an ApiError with the server's sentence. */
export async function call(method, path, options) {
  const answer = await raw(method, path, options);
  const text = await answer.text();
  let parsed = null;
  try { parsed = JSON.parse(text); } catch { /* not JSON: told below */ }
  if (!answer.ok || parsed === null || (parsed.code !== undefined && parsed.code !== 200)) {
    throw new ApiError(answer.status, parsed?.message ?? `${answer.status} ${answer.statusText}`, answer.headers.get('X-Request-Id'));
  }
  return parsed.data ?? parsed;
}

export async function text(path, options) {
  const answer = await raw('GET', path, options);
  if (!answer.ok) throw new ApiError(answer.status, `${answer.status} ${answer.statusText}`);
  return answer.text();
}

export const models = () => call('GET', 'api/v3/models');
export const balance = () => call('GET', 'api/v3/balance');
export const capabilities = () => call('GET', 'capabilities');
export const price = (model, inputs, signal) => call('POST', 'api/v3/model/price', { body: { model_id: model, inputs }, signal });
export const submit = (model, inputs) => call('POST', `api/v3/${model}`, { body: inputs });
export const prediction = (id) => call('GET', `api/v3/predictions/${id}`);
export const cancel = (id) => call('POST', `api/v3/predictions/${id}/cancel`);
export const history = (query, signal) => call('POST', 'api/v3/predictions', { body: query, signal });
export const remove = (ids) => call('POST', 'api/v3/predictions/delete', { body: { ids } });
export const usage = (query) => call('POST', 'api/v3/user/usage_stats', { body: query });
export const listKeys = () => call('GET', 'api/v3/admin/keys');
export const createKey = (body) => call('POST', 'api/v3/admin/keys', { body });
export const revokeKey = (uuid) => call('DELETE', `api/v3/admin/keys/${uuid}`);
export const creditKey = (uuid, amount) => call('POST', `api/v3/admin/keys/${uuid}/credit`, { body: { amount } });
export const limitKey = (uuid, limits) => call('POST', `api/v3/admin/keys/${uuid}/limits`, { body: limits });
export const signIn = (token) => call('POST', 'api/v3/signin', { body: { token } });

export async function upload(file, name, signal) {
  const form = new FormData();
  form.append('file', file, name);
  const data = await call('POST', 'api/v3/media/upload/binary', { form, signal });
  return data.download_url;
}

/* An address of our own server, as this page reaches it: the server may know itself by another name. */
export function localUrl(url) {
  const match = /\/files\/[^/?#]+$/.exec(url);
  return match ? match[0].slice(1) : url;
}

/* ---- Following a prediction: events as they come, polls where there are none ---- */

const ENDED = new Set(['completed', 'failed', 'cancelled', 'timeout', 'deleted']);
export function hasEnded(status) { return ENDED.has(status); }

function wait(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

async function* eventsOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const event = { type: 'message', data: '', id: undefined };
      for (const line of rest.slice(0, end).split('\n')) {
        const [, field, content] = /^(\w*):? ?(.*)$/.exec(line) ?? [];
        if (field === 'event') event.type = content;
        else if (field === 'id') event.id = content;
        else if (field === 'data') event.data += event.data ? `\n${content}` : content;
      }
      rest = rest.slice(end + 2);
      if (event.data) yield event;
    }
  }
}

/* A browser opens six connections to a server of HTTP/1.1, for all its tabs, and a stream holds one: so the oldest runs, which
 * are or will be computed first, have streams, and the others are asked for. */
const STREAMS_MOST = 2;
const followed = new Set(); // ids, the oldest first

const mayStream = (id) => [...followed].slice(0, STREAMS_MOST).includes(id);

/* Calls onChange(prediction) at each change until the end, onPreview(data URI) for each preview, onOffline(true|false) when the
 * server goes and comes. Ends when the prediction does, when it is gone (404: onChange with status "deleted"), or with `signal`. */
export async function follow(id, handlers) {
  followed.add(id);
  try { await followToEnd(id, handlers); } finally { followed.delete(id); }
}

async function followToEnd(id, { onChange, onPreview, onOffline, signal }) {
  let last = '';
  let failures = 0;
  let offline = false;
  const here = (isOffline) => {
    if (isOffline === offline) return;
    offline = isOffline;
    onOffline?.(isOffline);
  };
  while (!signal?.aborted) {
    try {
      if (failures < 3 && mayStream(id)) {
        const answer = await raw('GET', `api/v3/predictions/${id}/stream`, { headers: last ? { 'Last-Event-ID': last } : {}, signal });
        if (answer.status === 404) { onChange({ id, status: 'deleted', error: '', outputs: [] }); return; }
        if (answer.ok && (answer.headers.get('Content-Type') ?? '').startsWith('text/event-stream')) {
          here(false);
          for await (const event of eventsOf(answer)) {
            if (event.id) last = event.id;
            failures = 0;
            const data = JSON.parse(event.data);
            if (event.type === 'preview') onPreview?.(data.image);
            else {
              onChange(data);
              if (hasEnded(data.status)) return;
            }
          }
        }
        failures += 1;
      }
      const now = await prediction(id);
      here(false);
      onChange(now);
      if (hasEnded(now.status)) return;
    } catch (problem) {
      if (signal?.aborted || problem.name === 'AbortError') return;
      if (problem instanceof ApiError && problem.status === 404) { onChange({ id, status: 'deleted', error: '', outputs: [] }); return; }
      if (problem instanceof ApiError && problem.status === 401) return;
      here(true);
      failures = 0; // streams are tried again once the server is back
    }
    await wait(offline || !mayStream(id) ? 2000 : 1000, signal);
  }
}
