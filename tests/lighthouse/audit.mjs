// Lighthouse on every kind of public page, as on a phone: node audit.mjs path/to/materia
//
// Creates sample figures in a temporary folder and serves them with a public dashboard and a public table. Prints the four scores of each page with
// what costs points; exits with 1 if one is below 100. CHROMIUM names the browser, /usr/bin/chromium by default.
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { launch } from 'chrome-launcher';
import lighthouse from 'lighthouse';
import { eventually, freePort } from '../browser/common.mjs';

const materia = resolve(process.argv[2] ?? 'materia');
const folder = mkdtempSync(join(tmpdir(), 'materia-lighthouse-'));
const port = await freePort();
const base = `http://127.0.0.1:${port}`;
const env = { ...process.env, BASE_URL: base, RUST_LOG: 'warn', MATERIA_REQUESTS_PER_MINUTE: '0', DATABASE_URL: `sqlite://${join(folder, 'accounts.db')}` };
const run = (...args) => execFileSync(materia, args, { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] });

const pages = ['/', '/pricing', '/dashboard/open', '/tables', '/tables/coffee_prices', '/methodology', '/docs/api', '/auth/login', '/auth/signup', '/legal/terms'];
const categories = ['performance', 'accessibility', 'best-practices', 'seo'];
// Search engines are asked to leave out forms for accounts, which Lighthouse counts against them.
const categoriesOf = (path) => (path.startsWith('/auth/') ? categories.slice(0, 3) : categories);
// The time a page takes depends on what else the machine does; the best of some attempts counts.
const ATTEMPTS = 3;

run('demo', '.');
const settings = join(folder, 'materia.toml');
writeFileSync(settings, readFileSync(settings, 'utf8').replace('[tables.coffee_prices]', '[tables.coffee_prices]\npublic = true').replace('use = "beanflows"', 'dir = "boards"'));
execFileSync('mkdir', [join(folder, 'boards')]);
appendFileSync(join(folder, 'boards/open.toml'), `title = "Prices"
description = "Coffee prices by month"
public = true
[[panel]]
title = "Arabica"
kind = "stat"
sql = "SELECT month, arabica FROM coffee_prices ORDER BY month"
x = "month"
y = "arabica"
[[panel]]
title = "Prices"
kind = "line"
sql = "SELECT month, arabica, robusta FROM coffee_prices ORDER BY month"
x = "month"
y = ["arabica", "robusta"]
[[panel]]
title = "By month"
kind = "table"
sql = "SELECT * FROM coffee_prices ORDER BY month DESC"
rows = 20
`);
run('export');
const server = spawn(materia, ['web', '--listen', `127.0.0.1:${port}`], { cwd: folder, env, stdio: ['ignore', 'ignore', 'inherit'] });
const chrome = await launch({ chromePath: process.env.CHROMIUM ?? '/usr/bin/chromium', chromeFlags: ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
let isBelow = false;
try {
  await eventually('the site answers', async () => (await fetch(`${base}/ready`)).ok);
  for (const path of pages) {
    let best;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { lhr } = await lighthouse(base + path, { port: chrome.port, onlyCategories: categoriesOf(path), logLevel: 'error' });
      const scores = categoriesOf(path).map((name) => Math.round((lhr.categories[name].score ?? 0) * 100));
      if (!best || scores.reduce((sum, one) => sum + one) > best.sum) best = { sum: scores.reduce((sum, one) => sum + one), scores, lhr };
      if (scores.every((score) => score === 100)) break;
    }
    const costly = Object.values(best.lhr.audits).filter((audit) => audit.score != null && audit.score < 1 && categoriesOf(path).some((name) => best.lhr.categories[name].score < 1 && best.lhr.categories[name].auditRefs.some((ref) => ref.id === audit.id && ref.weight > 0)));
    console.log(`${best.scores.join(' ')}  ${path}${costly.map((audit) => `\n    ${audit.id}: ${audit.title}${audit.displayValue ? ` (${audit.displayValue})` : ''}${(audit.details?.items ?? []).slice(0, 3).map((item) => `\n        ${item.node?.snippet ?? item.url ?? ''}`).join('')}`).join('')}`);
    isBelow ||= best.scores.some((score) => score < 100);
  }
} finally {
  await chrome.kill();
  server.kill();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(isBelow ? 1 : 0);
