/* Tests in a real browser: `test(name, work)` runs one after another and prints TAP. A test gets a page that has signed in
 * unless it says otherwise; what the page asked for and said on its console is checked after each. */
import { createRequire } from 'node:module';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

const require = createRequire(join(process.env.KONTEXT_BROWSER_MODULES ?? process.cwd(), 'x.js'));
const { chromium } = require('playwright-core');
export const axeSource = require('axe-core').source;

const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];

export const shotsFolder = process.env.KONTEXT_SHOTS ?? '';
const tests = [];
export function test(name, work, options = {}) { tests.push({ name, work, options }); }

export function must(condition, what) { if (!condition) throw new Error(what); }

export async function until(what, ask, ms = 20000) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what} did not happen within ${ms} ms`);
    await new Promise((resolve) => { setTimeout(resolve, 60); });
  }
}

export async function openPage(browser, server, { width = 1280, height = 900, scheme = 'light', key = server.key, locale = 'en-US', expectErrors = false } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, locale, reducedMotion: 'reduce', permissions: ['clipboard-read', 'clipboard-write', 'camera'] });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  const troubles = [];
  page.on('request', (request) => { if (!request.url().startsWith(server.url) && !/^(data|blob):/.test(request.url())) troubles.push(`a request left the origin: ${request.url()}`); });
  page.on('pageerror', (problem) => troubles.push(`the page threw: ${problem.message}`));
  page.on('console', (message) => { if (message.type() === 'error' && !(expectErrors && /Failed to load resource/.test(message.text()))) troubles.push(`console: ${message.text()}`); });
  page.troubles = troubles;
  if (key) {
    await page.addInitScript((value) => { if (!sessionStorage.getItem('kontext.key') && !sessionStorage.getItem('out')) sessionStorage.setItem('kontext.key', value); }, key);
    await page.goto(`${server.url}/`);
    await page.waitForSelector('.form');
  }
  return page;
}

export async function dropFiles(page, selector, files) {
  const data = await page.evaluateHandle((list) => {
    const transfer = new DataTransfer();
    for (const { name, base64 } of list) {
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      transfer.items.add(new File([bytes], name, { type: 'image/png' }));
    }
    return transfer;
  }, files);
  for (const type of ['dragenter', 'dragover', 'drop']) await page.dispatchEvent(selector, type, { dataTransfer: data });
}

export async function chooseFiles(page, files) {
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('.refadd')]);
  await chooser.setFiles(files);
}

export async function shot(page, name, options = {}) {
  if (!shotsFolder) return;
  mkdirSync(shotsFolder, { recursive: true });
  await page.screenshot({ path: join(shotsFolder, `${name}.png`), ...options });
}

export async function run(server) {
  const browser = await chromium.launch({ executablePath: process.env.KONTEXT_CHROMIUM ?? '/usr/bin/chromium', args: ARGUMENTS });
  let failed = 0;
  console.log(`1..${tests.length}`);
  for (const [at, { name, work, options }] of tests.entries()) {
    let page = null;
    try {
      page = await openPage(browser, server, options);
      await work(page, server, browser);
      must(page.troubles.length === 0, page.troubles.join('; '));
      console.log(`ok ${at + 1} - ${name}`);
    } catch (problem) {
      failed += 1;
      console.log(`not ok ${at + 1} - ${name}`);
      for (const line of String(problem.stack ?? problem).split('\n').slice(0, 6)) console.log(`# ${line}`);
      if (page) await shot(page, `failed-${at + 1}`).then(() => console.log(`# the page then: ${join(shotsFolder, `failed-${at + 1}.png`)}`), () => {});
      for (const line of server.output.join('').trim().split('\n').slice(-5)) console.log(`# server: ${line}`);
    }
    await page?.context().close();
  }
  await browser.close();
  return failed;
}
