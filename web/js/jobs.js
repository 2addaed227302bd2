/* The runs of this page: each is followed until it ends, also after a reload. */
import { Value } from './dom.js';
import * as api from './api.js';

const KEPT = 'kontext.jobs';
const KEEP_MOST = 24;

export const jobs = new Value([]); // newest first: { id, model, input, thumbs, prediction, preview, isOffline }

function keep() {
  const kept = jobs.get().slice(0, KEEP_MOST).map(({ id, thumbs }) => ({ id, thumbs }));
  try { sessionStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* full: a reload then finds fewer */ }
}

function changed(job, changes) {
  Object.assign(job, changes);
  jobs.set(jobs.get());
}

function watch(job) {
  job.stop = new AbortController();
  api.follow(job.id, {
    signal: job.stop.signal,
    onChange: (prediction) => changed(job, { prediction: { ...job.prediction, ...prediction } }),
    onPreview: (url) => changed(job, { preview: url }),
    onOffline: (isOffline) => changed(job, { isOffline }),
  });
}

export function addJob(prediction, thumbs = []) {
  if (jobs.get().some((job) => job.id === prediction.id)) return;
  const job = { id: prediction.id, prediction, thumbs, preview: '', isOffline: false };
  jobs.set([job, ...jobs.get()]);
  keep();
  if (!api.hasEnded(prediction.status)) watch(job);
}

export function dropJob(id) {
  const job = jobs.get().find((one) => one.id === id);
  job?.stop?.abort();
  jobs.set(jobs.get().filter((one) => one.id !== id));
  keep();
}

/* The jobs that this tab knew before a reload, and those of this key that are running. */
export async function findJobs() {
  let kept = [];
  try { kept = JSON.parse(sessionStorage.getItem(KEPT) ?? '[]'); } catch { /* nothing of use was kept */ }
  const thumbs = new Map(kept.map((one) => [one.id, one.thumbs]));
  const found = new Map();
  for (const status of ['created', 'processing']) {
    const page = await api.history({ page: 1, page_size: 50, status, include_inputs: true }).catch(() => ({ items: [] }));
    for (const item of page.items) found.set(item.id, item);
  }
  for (const { id } of kept) {
    if (found.has(id)) continue;
    const one = await api.prediction(id).catch(() => null);
    if (one && one.status !== 'deleted') found.set(id, one);
  }
  const sorted = [...found.values()].sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
  for (const prediction of sorted) addJob(prediction, thumbs.get(prediction.id) ?? []);
}

export function forgetJobs() {
  for (const job of jobs.get()) job.stop?.abort();
  jobs.set([]);
  sessionStorage.removeItem(KEPT);
}
