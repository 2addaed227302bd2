/* The playground in a real browser: node test_playground.mjs PROGRAM. Prints TAP. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Server, samplePictures, makePng } from './server.mjs';
import { test, run, must, until, openPage, chooseFiles, dropFiles, shot, axeSource } from './harness.mjs';

const server = await Server.start(process.argv[2], process.argv.slice(3));
const pictures = samplePictures();
const LONG = { num_inference_steps: 50, num_images: 4 };

async function write(page, prompt, values = {}) {
  await page.fill('textarea', prompt);
  for (const [name, value] of Object.entries(values)) await page.fill(`[data-field="${name}"] input[type=number]`, String(value));
}

async function pressRun(page) {
  const before = await page.locator('.job').count();
  await page.click('.run');
  await until('a card for the run', async () => (await page.locator('.job').count()) > before);
}

const done = (page) => page.waitForSelector('.job.completed .picture img', { timeout: 60000 });

test('the printed link signs in once and leaves the address', async (page) => {
  await page.goto(server.signin);
  await page.waitForSelector('.form');
  must(!page.url().includes('signin'), `the token is still in ${page.url()}`);
  must(await page.evaluate(() => sessionStorage.getItem('kontext.key')) === server.key, 'the key is not the first one');
  must(await page.evaluate(() => JSON.stringify(localStorage).includes('kx_')) === false, 'the key was kept beyond the session');
  const other = await page.context().newPage();
  await other.goto(server.signin);
  await other.waitForSelector('.signin .fielderror:not(:empty)');
}, { key: '', expectErrors: true });

test('a wrong key is refused in words, the right one enters', async (page) => {
  await page.goto(`${server.url}/`);
  await page.fill('#key', 'kx_0000000000000000000000000000000000000000');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.signin .fielderror:not(:empty)');
  await page.fill('#key', server.key);
  await page.keyboard.press('Enter');
  await page.waitForSelector('.form');
}, { key: '', expectErrors: true });

test('drop two pictures, run, look, compare, chain a second edit, history, delete', async (page) => {
  await shot(page, 'empty-1280-light');
  await dropFiles(page, '.reftray', pictures.map((path) => ({ name: path.split('/').pop(), base64: readFileSync(path).toString('base64') })));
  await page.waitForSelector('.ref.ready:nth-child(2)');
  must(await page.locator('.refnumber').allTextContents().then((all) => all.join()) === '1,2', 'the references are not numbered 1 and 2');
  await write(page, 'Let the man drink the juice.');
  await until('a price', async () => /\$0\.03/.test(await page.textContent('.price')));
  must(/33/.test(await page.textContent('.pricebox .hint')), 'no runs per dollar');
  const balance = await page.textContent('.pricebox > .hint:last-child');
  await pressRun(page);
  await done(page);
  await until('the balance to fall', async () => (await page.textContent('.pricebox > .hint:last-child')) !== balance);
  await page.click('.picturetools [aria-label="Before and after"]');
  await page.waitForSelector('dialog.viewer .stage.comparing');
  await page.focus('dialog.viewer input[type=range]');
  await page.keyboard.press('ArrowLeft');
  must(await page.evaluate(() => document.querySelector('.stage').style.getPropertyValue('--cut')) !== '50%', 'the divider did not move');
  await page.selectOption('dialog.viewer select', '1');
  await page.click('dialog.viewer [aria-label="Zoom in"]');
  must(await page.textContent('dialog.viewer output') === '150 %', 'zoom is not 150 %');
  await page.keyboard.press('Escape');
  await page.click('.picturetools [aria-label="Use as reference"]');
  await page.waitForSelector('.ref:nth-child(3)');
  await write(page, 'Make it night.');
  await pressRun(page);
  await until('two finished runs', async () => (await page.locator('.job.completed').count()) === 2, 60000);
  await page.click('.navlink[data-route=history]');
  await page.waitForSelector('.past');
  must(await page.locator('.past').count() >= 2, 'the history does not show both');
  const first = await page.getAttribute('.past', 'data-prediction');
  await page.click('.past [aria-label="Delete this run"]');
  await until('the row to go', async () => (await page.getAttribute('.past', 'data-prediction')) !== first);
  const gone = await server.call('GET', `api/v3/predictions/${first}`);
  must(gone.code === 404, `the deleted prediction answers ${gone.code}`);
  await page.click('.past [aria-label="Same inputs"]');
  await page.waitForSelector('.form');
  must(await page.inputValue('textarea') === 'Let the man drink the juice.', 'the prompt did not come back');
  await page.waitForSelector('.ref:nth-child(2)');
});

test('references are reordered and removed by keyboard, replaced by number', async (page) => {
  await chooseFiles(page, pictures);
  await page.waitForSelector('.ref.ready:nth-child(2)');
  const names = () => page.locator('.ref').evaluateAll((all) => all.map((one) => one.getAttribute('aria-label').split(': ')[1]).join());
  const before = await names();
  await page.focus('.ref:nth-child(1)');
  await page.keyboard.press('Alt+ArrowRight');
  must(await names() === before.split(',').reverse().join(), `order is ${await names()}`);
  await page.keyboard.press('Delete');
  must(await page.locator('.ref').count() === 1, 'Delete did not remove one');
});

test('references are reordered by dragging, replaced, and taken from an address', async (page) => {
  await chooseFiles(page, pictures);
  await page.waitForSelector('.ref.ready:nth-child(2)');
  const names = () => page.locator('.ref').evaluateAll((all) => all.map((one) => one.getAttribute('aria-label').split(': ')[1]).join());
  await page.dragAndDrop('.ref:nth-child(2)', '.ref:nth-child(1)');
  must(await names() === 'juice.png,man.png', `after dragging the order is ${await names()}`);
  await page.hover('.ref:nth-child(1)');
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('.ref:nth-child(1) [aria-label^="Replace"]')]);
  await chooser.setFiles(pictures[0]);
  await until('the replacement', async () => (await names()) === 'man.png,man.png');
  await page.fill('.refaddbox input[type=url]', 'not an address');
  await page.click('.refaddbox .button:has-text("Add address")');
  await until('the sentence', async () => /begins with http/.test(await page.textContent('.reftray .fielderror')));
  await page.fill('.refaddbox input[type=url]', 'https://example.org/cat.png');
  await page.click('.refaddbox .button:has-text("Add address")');
  await page.waitForSelector('.ref:nth-child(3)');
});

test('a photo is taken with the camera', async (page) => {
  await page.click('[aria-label="Take a photo"]');
  await until('a picture of the camera', async () => page.evaluate(() => document.querySelector('video')?.videoWidth > 0));
  await page.click('dialog .button:has-text("Take it")');
  await page.waitForSelector('.ref.ready');
  must(await page.locator('dialog').count() === 0, 'the camera stays open');
});

test('size by ratio, numbers and swap; wrong values are told beside the field', async (page) => {
  const code = () => page.textContent('.samples code');
  await page.click('.chip.ratio:has-text("16:9")');
  await until('the size in the code', async () => /"size": "\d+\*\d+"/.test(await code()));
  const [, w, hgt] = /"size": "(\d+)\*(\d+)"/.exec(await code());
  must(Number(w) > Number(hgt), `16:9 gives ${w} x ${hgt}`);
  await page.click('[aria-label="Swap width and height"]');
  await until('the swapped size', async () => (await code()).includes(`"size": "${hgt}*${w}"`));
  await page.fill('[aria-label="Width"]', '7');
  await until('the least size', async () => /The least is \d+/.test(await page.textContent('[data-field="size"] .fielderror')));
  await page.fill('[aria-label="Width"]', '');
  await until('both or neither', async () => /both width and height/.test(await page.textContent('[data-field="size"] .fielderror')));
  await page.click('.chip:has-text("As reference 1")');
  must(!(await code()).includes('"size"'), 'the size stayed');
  await page.fill('[data-field="num_inference_steps"] input[type=number]', '99');
  await until('the most steps', async () => /The most is 50/.test(await page.textContent('[data-field="num_inference_steps"] .fielderror')));
  await write(page, 'Nothing runs with a wrong field');
  await page.click('.run');
  must(await page.locator('.job').count() === 0, 'it ran all the same');
});

test('a locked seed gives the same picture again; more like this draws another', async (page) => {
  await page.click('[aria-label="Draw a seed and keep it"]');
  const seed = await page.inputValue('[data-field="seed"] input');
  await page.click('[data-field="output_format"] .segment:has-text("png")');
  await write(page, 'A cat in the park, wearing a red sweater.');
  await pressRun(page);
  await done(page);
  must((await page.textContent('.job .facts')).includes(`seed ${seed}`), 'the seed was not used');
  await pressRun(page);
  await until('two results', async () => (await page.locator('.job.completed').count()) === 2, 60000);
  const bytes = await page.evaluate(() => Promise.all([...document.querySelectorAll('.picture img')].map(async (image) => Array.from(new Uint8Array(await (await fetch(image.src)).arrayBuffer())).join())));
  must(bytes[0] === bytes[1], 'the same seed gave other bytes');
  await page.click('.job:first-child .button:has-text("More like this")');
  await until('three results', async () => (await page.locator('.job.completed').count()) === 3, 60000);
  must(!(await page.textContent('.job:first-child .facts')).includes(`seed ${seed}`), 'the seed is the same');
  await page.click('.job:first-child .button:has-text("Same seed")');
  must(await page.inputValue('[data-field="seed"] input') !== seed, 'the seed of the other run did not come');
});

test('a result is downloaded, its link and picture are copied', async (page) => {
  await write(page, 'A dog at the beach, wearing a blue sweater.');
  await pressRun(page);
  await done(page);
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('.picturetools [aria-label="Download"]')]);
  must(/^[0-9a-f]{32}_0\.jpeg$/.test(download.suggestedFilename()), `it is called ${download.suggestedFilename()}`);
  must(readFileSync(await download.path()).subarray(0, 2).toString('hex') === 'ffd8', 'it is no JPEG');
  await page.click('.picturetools [aria-label="Copy the link"]');
  await until('the link', async () => (await page.evaluate(() => navigator.clipboard.readText())).startsWith(`${server.url}/files/`));
  await page.click('.picturetools [aria-label="Copy the picture"]');
  await until('the picture', async () => page.evaluate(async () => (await navigator.clipboard.read())[0]?.types.includes('image/png')));
});

test('several runs are cards at once, the waiting ones with their place', async (page) => {
  await write(page, 'One of three', LONG);
  for (let at = 0; at < 3; at += 1) await pressRun(page);
  await until('one running and one waiting', async () => (await page.locator('.job.processing').count()) === 1 && (await page.locator('.job.created').count()) >= 1);
  await until('a place in the queue', async () => /before this one|Waiting for its turn/.test(await page.textContent('.job.created')));
  for (const button of (await page.locator('.job .button:has-text("Stop")').all()).reverse()) await button.click();
  await until('all to stop', async () => (await page.locator('.job.cancelled').count()) === 3);
});

test('the single model takes one reference', async (page) => {
  await page.click('.models .segment:has-text("Single")');
  await chooseFiles(page, pictures.slice(0, 1));
  await page.waitForSelector('.ref.ready');
  must(await page.locator('.refadd').isHidden(), 'a second can be added');
  await until('the field in the code', async () => /"image": "http/.test(await page.textContent('.samples code')));
});

test('a key that may only read is told so', async (page) => {
  const key = /\bkx_[0-9a-f]{40}\b/.exec(server.keyCommand('create', `reader-${Date.now()}`, '--role', 'read'))[0];
  const reader = await openPage(page.context().browser(), server, { key, expectErrors: true });
  await write(reader, 'Not allowed');
  await reader.click('.run');
  await until('the sentence', async () => /role submit is needed, it has the role read/.test(await reader.textContent('.form > .fielderror')));
  await reader.click('.navlink[data-route=keys]');
  await until('the keys to be refused', async () => /admin key/.test(await reader.textContent('.view')));
  await reader.context().close();
});

test('an example fills the form and gives its picture', async (page) => {
  await page.click('.examplebox .button');
  must(await page.locator('.example').count() === 10, 'not all examples are shown');
  await page.click('.example:has-text("juice")');
  await page.waitForSelector('.ref.ready:nth-child(2)');
  must(/juice/.test(await page.inputValue('textarea')), 'the prompt is not there');
  await pressRun(page);
  await done(page);
});

test('the theme follows the button and is kept', async (page) => {
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  await page.click('.bar [aria-label^="Theme"]');
  must(await theme() === 'light', `it is ${await theme()}`);
  await page.click('.bar [aria-label^="Theme"]');
  await page.reload();
  await page.waitForSelector('.form');
  must(await theme() === 'dark', `after a reload it is ${await theme()}`);
});

test('a picture is pasted from the clipboard', async (page) => {
  await page.evaluate(async () => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 64;
    canvas.getContext('2d').fillRect(0, 0, 64, 64);
    const blob = await new Promise((resolve) => { canvas.toBlob(resolve, 'image/png'); });
    const data = new DataTransfer();
    data.items.add(new File([blob], 'clip.png', { type: 'image/png' }));
    document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
  });
  await page.waitForSelector('.ref.ready');
});

test('a run shows progress and a preview, and stops when told', async (page) => {
  await chooseFiles(page, pictures.slice(0, 1));
  await page.waitForSelector('.ref.ready');
  await write(page, 'Stop me', LONG);
  await pressRun(page);
  await page.waitForSelector('.job.processing');
  await page.waitForSelector('.job .preview img', { timeout: 40000 });
  must(/step \d+ of 200/.test(await page.textContent('.job .jobprogress')), 'no step is shown');
  await page.evaluate(() => scrollTo(0, 0));
  await shot(page, 'running-1280-light');
  await page.click('.job .button:has-text("Stop")');
  await page.waitForSelector('.job.cancelled');
});

test('pictures go up while more runs wait than a browser has connections', async (page) => {
  const made = [];
  for (let at = 0; at < 10; at += 1) made.push((await server.call('POST', 'api/v3/wavespeed-ai/flux-kontext-dev/multi', { prompt: `wait ${at}`, ...LONG })).data.id);
  await page.reload();
  await until('all runs', async () => (await page.locator('.job').count()) >= made.length);
  await page.waitForSelector('.job .preview img', { timeout: 40000 }); // streams are open
  await chooseFiles(page, pictures);
  await page.waitForSelector('.ref.ready:nth-child(2)');
  const unfinished = await page.locator('.job.created, .job.processing').count();
  must(unfinished > 6, `only ${unfinished} runs were left, which proves nothing`);
  for (const id of made) await server.call('POST', `api/v3/predictions/${id}/cancel`);
  await until('the end of all', async () => (await page.locator('.job.cancelled').count()) >= made.length);
});

test('a reload finds the running job again', async (page) => {
  await write(page, 'Find me', LONG);
  await pressRun(page);
  await page.waitForSelector('.job.processing');
  const id = await page.getAttribute('.job', 'data-job');
  await page.reload();
  await page.waitForSelector(`.job[data-job="${id}"]`);
  must(await page.inputValue('textarea') === 'Find me', 'the form was forgotten');
  await page.click('.job .button:has-text("Stop")');
  await page.waitForSelector('.job.cancelled');
});

test('a killed and restarted server goes on where it was, and so does the page', async (page) => {
  await write(page, 'Survive', LONG);
  await pressRun(page);
  await until('a few steps', async () => Number(/step (\d+)/.exec(await page.textContent('.job .jobprogress'))?.[1] ?? 0) > 8, 40000);
  await server.kill();
  await until('the card to say so', async () => /cannot be reached/.test(await page.textContent('.job')));
  await server.run();
  await page.waitForSelector('.job.completed .picture img', { timeout: 120000 });
  must(await page.locator('.job .picture').count() === 4, 'not all four pictures are there');
}, { expectErrors: true });

test('no credit is told beside the button', async (page) => {
  const key = /\bkx_[0-9a-f]{40}\b/.exec(server.keyCommand('create', `poor-${Date.now()}`, '--balance', '0'))[0];
  const poor = await openPage(page.context().browser(), server, { key, expectErrors: true });
  await write(poor, 'Anything');
  await poor.click('.run');
  await until('the sentence', async () => /Insufficient credits/.test(await poor.textContent('.form')));
  await poor.context().close();
});

test('a failed run shows its sentence', async (page) => {
  await page.fill('.refaddbox input[type=url]', 'http://127.0.0.1:9/none.png');
  await page.click('.refaddbox .button:has-text("Add address")');
  await write(page, 'This cannot be fetched');
  await pressRun(page);
  await page.waitForSelector('.job.failed .joberror');
  must((await page.textContent('.joberror')).length > 20, 'no reason is told');
});

test('an offline browser is told so, and the form stays', async (page) => {
  await write(page, 'Offline');
  await page.context().setOffline(true);
  await page.click('.run');
  await until('the sentence', async () => /cannot be reached/.test(await page.textContent('.form')));
  await page.context().setOffline(false);
  must(await page.inputValue('textarea') === 'Offline', 'the prompt was lost');
}, { expectErrors: true });

test('a file over the limit and one that is no picture are refused in words', async (page) => {
  await page.evaluate(() => { Object.defineProperty(File.prototype, 'size', { get: () => 3e9, configurable: true }); });
  await chooseFiles(page, pictures.slice(0, 1));
  await until('the sentence', async () => /too large/.test(await page.textContent('.reftray .fielderror')));
  await page.reload();
  await page.waitForSelector('.form');
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('.refadd')]);
  await chooser.setFiles({ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('words') });
  await until('the sentence', async () => /is not a picture/.test(await page.textContent('.reftray .fielderror')));
});

test('four references of 20 MB arrive, with small thumbnails', async (page) => {
  const large = [0, 1, 2, 3].map((at) => makePng(join(server.folder, `large-${at}.png`), 256, (x, y) => [x, y, at * 60], 20 << 20));
  await chooseFiles(page, large);
  await page.waitForSelector('.ref.ready:nth-child(4)', { timeout: 60000 });
  const most = await page.locator('.ref img').evaluateAll((all) => Math.max(...all.map((one) => one.src.length)));
  must(most < 200000, `a thumbnail has ${most} bytes`);
  must(await page.locator('.refadd').isHidden(), 'a fifth can be added');
});

test('a changed schema changes the form', async (page) => {
  await page.route('**/api/v3/models', async (route) => {
    const answer = await route.fetch();
    const body = await answer.json();
    const schema = body.data[0].api_schema.api_schemas[0].request_schema;
    schema.properties.strength = { type: 'number', minimum: 0, maximum: 1, default: 0.5, description: 'How much <img src=x onerror=alert(1)> changes' };
    schema.properties.output_format.enum = ['png', 'avif'];
    schema['x-order-properties'].push('strength');
    await route.fulfill({ response: answer, json: body });
  });
  await page.reload();
  await page.waitForSelector('[data-field="strength"] input[type=range]');
  must(await page.locator('[data-field="output_format"] .segment').allTextContents().then((all) => all.join()) === 'png,avif', 'the choices did not change');
  must(await page.locator('.form img[src="x"]').count() === 0, 'a description became an element');
});

test('markup in a prompt and in a file name stays text everywhere', async (page) => {
  const evil = '<img src=x onerror="window.evil=1"><script>window.evil=1</script>';
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('.refadd')]);
  await chooser.setFiles({ name: `${evil.replaceAll('/', '')}.png`, mimeType: 'image/png', buffer: readFileSync(pictures[0]) });
  await page.waitForSelector('.ref.ready');
  await write(page, evil);
  await pressRun(page);
  await done(page);
  await page.click('.job .button:has-text("Raw JSON")');
  await page.keyboard.press('Escape');
  await page.click('.navlink[data-route=history]');
  await page.waitForSelector('.past');
  must(await page.evaluate(() => window.evil) === undefined, 'the markup ran');
  must(await page.locator('img[src="x"]').count() === 0, 'the markup became an element');
});

test('the address of the page carries a policy without unsafe words', async (page) => {
  const answer = await page.goto(`${server.url}/`);
  const policy = answer.headers()['content-security-policy'];
  must(policy && !policy.includes('unsafe') && policy.includes("default-src 'none'"), `the policy is ${policy}`);
  must(await page.locator('[style]:not([class~="ratioshape"]):not(.stage)').count() === 0, 'an element has a style of its own in the markup');
});

test('the first load is under 100 KB', async (page) => {
  const fresh = await page.context().newPage();
  let bytes = 0;
  fresh.on('response', async (answer) => { bytes += Number(answer.headers()['content-length'] ?? 0); });
  await fresh.goto(`${server.url}/`);
  await fresh.waitForSelector('.form, .signin');
  must(bytes > 1000 && bytes < 100 * 1024, `the first load is ${bytes} bytes`);
  await fresh.close();
});

test('code samples follow the form', async (page) => {
  await write(page, "It's a test", { num_inference_steps: 7 });
  await until('curl', async () => /num_inference_steps": 7/.test(await page.textContent('.samples code')));
  await page.click('.samples .segment:has-text("Command line")');
  must(/kontext edit -p 'It'\\''s a test'/.test((await page.textContent('.samples code')).replace(/ \\\n\s*/g, ' ')), 'the command line does not quote the prompt');
});

test('the role template goes into the prompt, and unused references are hinted at', async (page) => {
  await chooseFiles(page, pictures);
  await page.waitForSelector('.ref.ready:nth-child(2)');
  await page.click('.promptbox .chip');
  must(/Use reference 1 for .*Use reference 2 for /.test(await page.inputValue('textarea')), 'the template is not there');
  await page.fill('textarea', 'Only reference 1 counts');
  await until('the hint', async () => /number 2/.test(await page.textContent('.promptbox .warning')));
});

test('an admin makes, credits and revokes a key', async (page) => {
  await page.click('.navlink[data-route=keys]');
  const name = `made-${Date.now()}`;
  await page.fill('#key-name', name);
  await page.click('.create .button');
  const value = await page.textContent('.secret');
  must((await server.call('GET', 'api/v3/balance', null, value)).data.balance === 10, 'the new key has no credit');
  const row = page.locator('tr', { hasText: name });
  await row.locator('.button:has-text("Revoke")').click();
  await page.click('dialog .button.primary');
  await until('the key to end', async () => (await server.call('GET', 'api/v3/balance', null, value)).code === 401);
  await shot(page, 'keys-1280-light', { fullPage: true });
});

test('the status view draws live charts', async (page) => {
  await page.click('.navlink[data-route=status]');
  await until('lines', async () => (await page.locator('.chartline[d]').count()) >= 4, 15000);
  must(/MiB/.test(await page.textContent('.charts')), 'no memory is shown');
});

test('German and Chinese words replace the English ones', async (page) => {
  await page.selectOption('.bar select', 'de');
  await page.waitForSelector('.run:has-text("Starten")');
  await page.selectOption('.bar select', 'zh');
  await page.waitForSelector('.run:has-text("运行")');
  await shot(page, 'idle-1280-zh');
  must(await page.evaluate(() => document.documentElement.lang) === 'zh', 'the language of the page is not told');
});

test('200 past runs are paged and filtered quickly', async (page) => {
  const submits = [];
  for (let at = 0; at < 200; at += 1) submits.push({ prompt: `run ${at}`, num_inference_steps: 1, size: '64*64', images: at % 4 === 0 ? ['nowhere'] : [] });
  for (let at = 0; at < submits.length; at += 20) await Promise.all(submits.slice(at, at + 20).map((body) => server.call('POST', 'api/v3/wavespeed-ai/flux-kontext-dev/multi', body)));
  await page.click('.navlink[data-route=history]');
  await page.waitForSelector('.past:nth-child(20)');
  await page.click('nav .button:has-text("Older")');
  await until('page 2', async () => /Page 2/.test(await page.textContent('nav.row')));
  await page.selectOption('.filters select', 'failed');
  await until('failed ones alone', async () => { const all = await page.locator('.past .badge').allTextContents(); return all.length > 0 && all.every((one) => one === 'Failed'); });
  await shot(page, 'history-1280-light');
});

for (const scheme of ['light', 'dark']) {
  for (const [width, height] of [[1280, 900], [390, 844]]) {
    test(`no serious accessibility fault: ${scheme}, ${width} wide`, async (page) => {
      const faults = [];
      const check = async (where) => {
        await page.evaluate(axeSource);
        const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
        for (const fault of found.violations) if (['serious', 'critical'].includes(fault.impact)) faults.push(`${where}: ${fault.id} (${fault.nodes.map((node) => node.target.join(' ')).slice(0, 3).join('; ')})`);
      };
      await chooseFiles(page, pictures);
      await page.waitForSelector('.ref.ready:nth-child(2)');
      await write(page, 'Let the man drink the juice.');
      await check('idle');
      await shot(page, `idle-${width}-${scheme}`);
      await pressRun(page);
      await done(page);
      await check('result');
      await shot(page, `result-${width}-${scheme}`);
      await page.click('.pictureopen');
      await check('viewer');
      await page.keyboard.press('Escape');
      for (const route of ['history', 'keys', 'status']) {
        await page.click(`.navlink[data-route=${route}]`);
        await page.waitForSelector(route === 'history' ? '.past' : route === 'keys' ? '.chartbar' : '.chartline[d]', { state: 'attached' });
        await check(route);
        await shot(page, `${route}-${width}-${scheme}`);
      }
      must(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page scrolls sideways');
      must(faults.length === 0, faults.join('\n'));
    }, { width, height, scheme });
  }
}

const failed = await run(server);
await server.stop();
process.exit(failed > 0 ? 1 : 0);
