// Creates the pictures in README.md and docs/dashboards.md from a running site: node pictures.mjs path/to/materia ../../docs/pictures
//
// Creates sample figures in a temporary folder, serves them, and takes pictures of a dashboard in headless Chromium and of the terminal dashboard in tmux; and of the example dashboards
// in two widths, if MATERIA_TEST_PYTHON names a Python with duckdb. CHROMIUM names the browser, /usr/bin/chromium by default.
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { eventually, freePort, openBrowser } from './common.mjs';

const materia = resolve(process.argv[2] ?? 'materia');
const pictures = resolve(process.argv[3] ?? '.');
mkdirSync(pictures, { recursive: true });
const folder = mkdtempSync(join(tmpdir(), 'materia-pictures-'));
const port = await freePort();
const base = `http://127.0.0.1:${port}`;
const env = { ...process.env, DEBUG: 'true', DATABASE_URL: `sqlite://${join(folder, 'accounts.db')}`, MATERIA_CONFIG: join(folder, 'materia.toml') };
const run = (...args) => execFileSync(materia, args, { cwd: folder, env, stdio: 'ignore' });
const tmux = (...args) => execFileSync('tmux', ['-L', `materia-${process.pid}`, ...args], { cwd: folder, env }).toString();

/** Draws a cell of Braille dots, which not every font contains. */
function braille(cell) {
  const bits = cell.charCodeAt(0) - 0x2800;
  const places = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [0, 3], [1, 3]];
  const dots = places.filter((_, bit) => bits & (1 << bit)).map(([x, y]) => `<circle cx="${2.5 + x * 4.5}" cy="${2.5 + y * 4.5}" r="1.6"/>`);
  return `<svg style="width:1ch;height:18px;vertical-align:top" viewBox="0 0 9 18" preserveAspectRatio="none" fill="currentColor">${dots.join('')}</svg>`;
}

/** Converts a screen with the colors reported by tmux to a page. */
function pageOf(screen) {
  const base16 = ['#1c1b19', '#e06c75', '#7bc88f', '#e5c07b', '#61afef', '#c678dd', '#56b6c2', '#d6d3cb', '#7f848e', '#ff7b86', '#98e0a6', '#f0d08b', '#7fc1ff', '#d89bea', '#6fd0dc', '#ffffff'];
  const cube = (n) => (n < 16 ? base16[n] : n > 231 ? `rgb(${Array(3).fill(8 + (n - 232) * 10).join()})`
    : `rgb(${[Math.floor((n - 16) / 36), Math.floor((n - 16) / 6) % 6, (n - 16) % 6].map((part) => (part ? 55 + part * 40 : 0)).join()})`);
  const colour = (codes) => (codes.shift() === 5 ? cube(codes.shift()) : `rgb(${codes.splice(0, 3).join()})`);
  let style = {};
  const spans = screen.split(/\x1b\[([\d;]*)m/).map((part, at) => {
    if (at % 2 === 0) {
      let [front, back] = [style.front ?? '#d6d3cb', style.back ?? 'transparent'];
      if (style.reverse) [front, back] = [style.back ?? '#12110f', front];
      const text = part.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replace(/[\u2800-\u28ff]/g, braille);
      return `<span style="color:${front};background:${back};opacity:${style.dim ? 0.65 : 1};font-weight:${style.bold ? 700 : 400}">${text}</span>`;
    }
    for (const codes = part.split(';').map(Number); codes.length;) {
      const code = codes.shift();
      if (code === 0) style = {};
      else if (code === 1) style.bold = true;
      else if (code === 2) style.dim = true;
      else if (code === 7) style.reverse = true;
      else if (code === 22) style.bold = style.dim = false;
      else if (code === 27) style.reverse = false;
      else if (code === 38) style.front = colour(codes);
      else if (code === 48) style.back = colour(codes);
      else if (code === 39) style.front = undefined;
      else if (code === 49) style.back = undefined;
      else if (code >= 30 && code < 38) style.front = base16[code - 30];
      else if (code >= 40 && code < 48) style.back = base16[code - 40];
      else if (code >= 90 && code < 98) style.front = base16[code - 82];
    }
    return '';
  });
  return `<body style="margin:0;background:#12110f"><pre style="display:inline-block;margin:0;padding:14px;font:15px/1.2 'DejaVu Sans Mono',monospace">${spans.join('')}</pre>`;
}

/** Takes pictures of the example dashboards, whole pages on a desktop and on a phone. */
async function examples(browser) {
  const python = process.env.MATERIA_TEST_PYTHON;
  if (!python) return console.log('skipped the example dashboards: MATERIA_TEST_PYTHON names no Python');
  const folder = mkdtempSync(join(tmpdir(), 'materia-pictures-'));
  const base = `http://127.0.0.1:${await freePort()}`;
  const env = { ...process.env, DEBUG: 'true', DATABASE_URL: `sqlite://${join(folder, 'accounts.db')}`, MATERIA_CONFIG: join(folder, 'materia.toml') };
  const run = (...args) => execFileSync(materia, args, { cwd: folder, env, stdio: 'ignore' });
  cpSync(new URL('../../examples/dashboards', import.meta.url).pathname, folder, { recursive: true });
  execFileSync(python, ['-c', 'import duckdb; duckdb.connect("lakehouse.duckdb").execute(open("data.sql").read())'], { cwd: folder });
  run('export');
  run('users', 'seed');
  const server = spawn(materia, ['web', '--listen', base.slice('http://'.length)], { cwd: folder, env, stdio: 'ignore' });
  try {
    await eventually('the site answers', async () => (await fetch(`${base}/ready`)).ok);
    for (const [suffix, width] of [['', 1440], ['-phone', 375]]) {
      const tab = await browser.newPage({ viewport: { width, height: 900 }, reducedMotion: 'reduce' });
      await tab.goto(`${base}/auth/dev-login?email=pro@example.test`);
      for (const name of ['flights', 'world', 'shop']) {
        await tab.goto(`${base}/dashboard/${name}`);
        await tab.screenshot({ path: join(pictures, `${name}${suffix}.png`), fullPage: true });
      }
      await tab.close();
    }
  } finally {
    server.kill('SIGTERM');
    rmSync(folder, { recursive: true, force: true });
  }
}

run('demo', '.');
run('export');
run('demo', '.', '--refresh');
run('export');
run('users', 'seed');
const server = spawn(materia, ['web', '--listen', `127.0.0.1:${port}`], { cwd: folder, env, stdio: 'ignore' });
const browser = await openBrowser();
try {
  await eventually('the site answers', async () => (await fetch(`${base}/ready`)).ok);
  const tab = await browser.newPage({ viewport: { width: 1200, height: 860 } });
  await tab.goto(`${base}/auth/dev-login?email=pro@example.test`);
  await tab.goto(`${base}/dashboard/supply`);
  await tab.screenshot({ path: join(pictures, 'page.png') });
  tmux('new-session', '-d', '-x', '118', '-y', '34', '-s', 'picture', `'${materia}' tui --theme dark --color 256`);
  await eventually('the terminal dashboard', async () => tmux('capture-pane', '-p', '-t', 'picture').includes('all clear'));
  tmux('send-keys', '-t', 'picture', '4');
  await eventually('the dashboard', async () => tmux('capture-pane', '-p', '-t', 'picture').includes('Robusta'));
  const terminal = await browser.newPage({ viewport: { width: 1200, height: 860 } });
  await terminal.setContent(pageOf(tmux('capture-pane', '-e', '-p', '-t', 'picture').trimEnd()));
  await terminal.locator('pre').screenshot({ path: join(pictures, 'terminal.png') });
  await examples(browser);
} finally {
  await browser.close();
  server.kill('SIGTERM');
  try { tmux('kill-server'); } catch { /* not started */ }
  rmSync(folder, { recursive: true, force: true });
}
