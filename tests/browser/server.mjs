/* A real `kontext serve` on a port of its own, with a data folder that goes with it. */
import { spawn, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateSync } from 'node:zlib';

async function freePort() {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, '127.0.0.1', () => { const { port } = probe.address(); probe.close(() => resolve(port)); });
  });
}

export class Server {
  static async start(program, options = []) {
    const server = new Server();
    server.program = program;
    server.options = options;
    server.folder = mkdtempSync(join(tmpdir(), 'kontext-browser-'));
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    await server.run();
    // The key is told last, a moment after the service is ready.
    for (let tries = 0; tries < 200 && !/#signin=[0-9a-f]{32}/.test(server.output.join('')); tries += 1) await new Promise((resolve) => { setTimeout(resolve, 20); });
    const words = server.output.join('');
    server.key = /\bkx_[0-9a-f]{40}\b/.exec(words)[0];
    server.signin = /\S+#signin=[0-9a-f]+/.exec(words)[0];
    return server;
  }

  async run() {
    this.output = [];
    this.child = spawn(this.program, ['serve', '--listen', `127.0.0.1:${this.port}`, '--data', join(this.folder, 'data'), ...this.options], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.on('data', (text) => this.output.push(String(text)));
    this.child.stderr.on('data', (text) => this.output.push(String(text)));
    this.ended = new Promise((resolve) => { this.child.on('exit', resolve); });
    for (let tries = 0; tries < 600; tries += 1) {
      const answer = await fetch(`${this.url}/readyz`).catch(() => null);
      if (answer?.ok) return;
      if (this.child.exitCode !== null) break;
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    throw new Error(`the server did not become ready:\n${this.output.join('')}`);
  }

  async kill() { this.child.kill('SIGKILL'); await this.ended; }

  async stop() {
    this.child.kill('SIGTERM');
    await this.ended;
    rmSync(this.folder, { recursive: true, force: true });
  }

  /* Runs `kontext key …` on the same data. */
  keyCommand(...words) { return execFileSync(this.program, ['key', ...words, '--data', join(this.folder, 'data')], { encoding: 'utf8' }); }

  async call(method, path, body, key = this.key) {
    const answer = await fetch(`${this.url}/${path}`, { method, headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) });
    return answer.json();
  }
}

/* ---- Pictures ---- */

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type), data]);
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crcOf(body), 8 + data.length);
  return out;
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, start) => {
  let crc = start;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  return crc;
});

function crcOf(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 255];
  return ~crc >>> 0;
}

/* A PNG of colour(x, y) -> [r, g, b]; `padding` bytes of a private chunk make it larger without making it bigger. */
export function makePng(path, size, colour, padding = 0) {
  const rows = Buffer.alloc(size * (1 + 3 * size));
  for (let y = 0; y < size; y += 1) for (let x = 0; x < size; x += 1) rows.set(colour(x, y), y * (1 + 3 * size) + 1 + 3 * x);
  const head = Buffer.alloc(13);
  head.writeUInt32BE(size, 0);
  head.writeUInt32BE(size, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const parts = [Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), chunk('IHDR', head)];
  if (padding > 0) parts.push(chunk('paDd', Buffer.alloc(padding, 7)));
  writeFileSync(path, Buffer.concat([...parts, chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]));
  return path;
}

/* A man and a juice of the demo model's own world. */
export function samplePictures() {
  const folder = new URL('../../models/demo-samples/', import.meta.url);
  return ['man.png', 'juice.png'].map((name) => fileURLToPath(new URL(name, folder)));
}
