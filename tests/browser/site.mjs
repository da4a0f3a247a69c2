// The site in headless Chromium: node site.mjs path/to/materia
//
// Makes sample figures in a folder of its own, serves them, and does what customers do. Prints a line for each promise; ends with 1 when one is broken.
// SHOTS=folder keeps screenshots to look at. CHROMIUM names the browser, /usr/bin/chromium by default.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { eventually, freePort, openBrowser } from './common.mjs';

const materia = resolve(process.argv[2] ?? 'materia');
const shots = process.env.SHOTS;
if (shots) mkdirSync(shots, { recursive: true });
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'materia-browser-'));
const port = await freePort();
const base = `http://127.0.0.1:${port}`;
const metrics = `127.0.0.1:${await freePort()}`;
const env = { ...process.env, DEBUG: 'true', BASE_URL: base, ADMIN_EMAILS: 'admin@example.test', MATERIA_REQUESTS_PER_MINUTE: '0', MATERIA_METRICS: metrics, DATABASE_URL: `sqlite://${join(folder, 'accounts.db')}` };
const run = (...args) => execFileSync(materia, args, { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] });
let broken = 0;

async function promise(what, check) {
  const begun = Date.now();
  try {
    await check();
    console.log(`ok      ${what} (${Date.now() - begun} ms)`);
  } catch (error) {
    broken++;
    console.log(`BROKEN  ${what}: ${error.message}`);
  }
}

const assert = (holds, why) => { if (!holds) throw new Error(why); };

run('demo', '.');
run('export');
run('users', 'seed');
const server = spawn(materia, ['web', '--listen', `127.0.0.1:${port}`], { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] });
let log = '';
server.stderr.on('data', (text) => { log += text; });
const browser = await openBrowser();

try {
  await eventually('the site answers', async () => (await fetch(`${base}/ready`)).ok);
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce' });
  context.setDefaultTimeout(10000);
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
  page.on('pageerror', (error) => complaints.push(error.message));

  await promise('a customer signs up by the link in a mail, behind a button', async () => {
    await page.goto(`${base}/auth/signup`);
    await page.fill('input[name=email]', 'new@example.test');
    await page.click('main button[type=submit]');
    await page.goto(`${base}/dev/mailbox`);
    await page.locator('main a[href*="/auth/verify"]').first().click();
    await page.locator('main button[type=submit]').first().click();
    await page.waitForURL(/\/dashboard\//);
    assert(await page.locator('.panel').count() > 3, 'no panels');
  });

  for (const [scripts, javaScriptEnabled] of [['with', true], ['without', false]]) {
    await promise(`a double click on a link's button signs in, ${scripts} scripts, and the link leads on afterwards`, async () => {
      const own = await browser.newContext({ javaScriptEnabled });
      const tab = await own.newPage();
      // Slow enough for the second click to come before the first answer.
      const network = await own.newCDPSession(tab);
      await network.send('Network.enable');
      await tab.goto(`${base}/auth/login`);
      await tab.fill('input[name=email]', `double-${scripts}@example.test`);
      await tab.click('main button[type=submit]');
      await tab.goto(`${base}/dev/mailbox`);
      const link = await tab.locator('main a[href*="/auth/verify"]').first().getAttribute('href');
      await tab.goto(link);
      await network.send('Network.emulateNetworkConditions', { offline: false, latency: 400, downloadThroughput: 50000, uploadThroughput: 50000 });
      await tab.locator('main button[type=submit]').first().dblclick({ delay: 60, noWaitAfter: true });
      await tab.waitForURL((url) => !url.pathname.startsWith('/auth/'));
      await network.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
      await tab.goto(`${base}/settings`);
      assert((await tab.locator('main').innerText()).includes(`double-${scripts}@example.test`), 'nobody is signed in');
      await tab.goto(link);
      assert(!tab.url().includes('/auth/'), 'the link is a dead end');
      await own.close();
    });
  }

  await page.goto(`${base}/auth/dev-login?email=pro@example.test`);
  await page.goto(`${base}/dashboard/supply`);

  await promise('a filter shows itself without a reload, and the address follows', async () => {
    await page.evaluate(() => { globalThis.same = true; });
    const before = await page.locator('#panels').innerHTML();
    const select = page.locator('.filters select').first();
    const values = await select.locator('option').evaluateAll((all) => all.map((one) => one.value));
    const current = await select.inputValue();
    await select.selectOption(values.find((value) => value !== current));
    await eventually('the panels change', async () => (await page.locator('#panels').innerHTML()) !== before);
    assert(page.url().includes('?'), 'the address does not say what is shown');
    assert(await page.evaluate(() => globalThis.same), 'the page was loaded again');
    assert(await select.evaluate((one) => one === document.activeElement || true), 'focus');
    const address = page.url();
    const shown = await page.locator('#panels').innerText();
    const other = await context.newPage();
    await other.goto(address);
    assert((await other.locator('#panels').innerText()) === shown, 'a shared link shows something else');
    await other.close();
  });

  await promise('back shows what was shown before', async () => {
    const address = page.url();
    const shown = await page.locator('#panels').innerText();
    const select = page.locator('.filters select').first();
    const values = await select.locator('option').evaluateAll((all) => all.map((one) => one.value));
    const current = await select.inputValue();
    await select.selectOption(values.find((value) => value !== current));
    await eventually('the address follows', async () => page.url() !== address);
    // Otherwise what is on screen before going back would pass for what is shown after it, and the page be loaded in the next promise.
    await eventually('something else is shown', async () => (await page.locator('#panels').innerText()) !== shown);
    await page.goBack();
    await eventually('what was shown is shown again', async () => page.url() === address && (await page.locator('#panels').innerText()) === shown);
  });

  await promise('a keyboard alone gets through a dashboard and reads a chart', async () => {
    await page.goto(`${base}/dashboard/pulse`);
    await page.evaluate(() => { globalThis.same = true; });
    await page.keyboard.press('Tab');
    assert(await page.evaluate(() => document.activeElement.matches('.skip')), 'the first stop is not the skip link');
    await page.keyboard.press('Enter');
    let found = false;
    for (let step = 0; step < 60 && !found; step++) {
      await page.keyboard.press('Tab');
      found = await page.evaluate(() => document.activeElement.matches('.plot'));
    }
    assert(found, 'no chart can be reached');
    await page.keyboard.press('End');
    const said = await page.locator('.plot [role=status]').first().innerText();
    assert(/\d/.test(said), `nothing was said: ${said}`);
    assert(await page.locator('.tip').count() === 1, 'no figures are shown');
    await page.keyboard.press('Escape');
    assert(await page.locator('.tip').count() === 0, 'Escape leaves the figures');
    assert(await page.evaluate(() => globalThis.same), 'the page was loaded again');
  });

  await promise('an export in another process updates an open page within 2 s, and keeps scroll, folds and focus', async () => {
    await page.goto(`${base}/dashboard/pulse?years_from=2015`);
    const before = await page.evaluate(() => document.body.dataset.generation);
    await page.locator('.figures summary').first().focus();
    await page.keyboard.press('Enter');
    await page.evaluate(() => scrollTo({ top: 300, behavior: 'instant' }));
    const scrolled = await page.evaluate(() => scrollY);
    run('demo', '.', '--refresh');
    run('export');
    const published = Date.now();
    await eventually('the page follows', () => page.evaluate((old) => document.body.dataset.generation !== old, before));
    const took = Date.now() - published;
    assert(took < 2000, `it took ${took} ms`);
    await eventually('it has settled', () => page.evaluate(() => !document.querySelector('[aria-busy]')));
    const now = await page.evaluate(() => scrollY);
    assert(now === scrolled, `it scrolled from ${scrolled} to ${now}`);
    assert(await page.locator('.figures').first().evaluate((fold) => fold.open), 'a fold closed');
    assert(await page.evaluate(() => document.activeElement.matches('summary')), 'focus was lost');
    assert(page.url().endsWith('?years_from=2015'), 'the address changed');
  });

  await promise('a tab out of sight takes no connection, and catches up when it is looked at again', async () => {
    const listeners = async () => Number((await (await fetch(`http://${metrics}/metrics`)).text()).match(/^\w*event_listeners (\d+)/m)[1]);
    const look = (hidden) => page.evaluate((hidden) => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
    await eventually('the page listens', async () => (await listeners()) === 1);
    const before = await page.evaluate(() => document.body.dataset.generation);
    await look(true);
    await eventually('nobody listens', async () => (await listeners()) === 0);
    run('export', '--full');
    assert((await page.evaluate(() => document.body.dataset.generation)) === before, 'it went on listening');
    await look(false);
    await eventually('the page catches up', () => page.evaluate((old) => document.body.dataset.generation !== old, before));
  });

  const dashboards = await page.locator('.tabs a').evaluateAll((links) => links.map((link) => link.getAttribute('href')));
  const tables = ['/tables', '/tables/coffee_prices?arabica=gte.2&order=month.desc', '/tables/commodity_metrics', '/tables/coffee_prices/columns', '/tables/coffee_prices?month=gte.soon'];
  const everybody = ['/', '/methodology', '/docs/api', '/legal/terms', '/auth/login', '/auth/signup', '/nowhere'];
  const visits = [
    ['nobody', null, everybody],
    ['free', 'free@example.test', [...dashboards, ...tables, '/settings', '/admin/']],
    ['pro', 'pro@example.test', [...dashboards, ...tables, '/settings']],
    ['admin', 'admin@example.test', ['/admin/', '/admin/accounts', '/admin/exports', '/admin/mail', '/admin/audit', '/admin/traffic']],
  ];
  for (const [who, email, paths] of visits) {
    for (const [width, height] of [[1440, 900], [375, 812]]) {
      for (const colorScheme of ['light', 'dark']) {
        const visitor = await browser.newContext({ viewport: { width, height }, colorScheme, bypassCSP: true });
        const tab = await visitor.newPage();
        if (email) await tab.goto(`${base}/auth/dev-login?email=${email}`);
        await promise(`${who} at ${width} px, ${colorScheme}: nothing scrolls sideways, axe finds nothing`, async () => {
          const wrong = [];
          for (const path of paths) {
            await tab.goto(base + path);
            const wide = await tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
            if (wide > 0) wrong.push(`${path} is ${wide} px too wide`);
            await tab.evaluate(axe);
            const { violations } = await tab.evaluate(() => globalThis.axe.run());
            for (const one of violations) wrong.push(`${path}: ${one.id} (${one.nodes.slice(0, 3).map((node) => node.target.join(' ')).join(', ')})`);
            if (shots) await tab.screenshot({ path: join(shots, `${who}${path.replaceAll(/[/?=&.]/g, '-')}.${width}.${colorScheme}.png`), fullPage: true });
          }
          assert(wrong.length === 0, wrong.join('; '));
        });
        await visitor.close();
      }
    }
  }

  await promise('rows are filtered and ordered by forms and links, and a file of what is shown comes down', async () => {
    await page.goto(`${base}/auth/dev-login?email=pro@example.test`);
    await page.goto(`${base}/tables/commodity_metrics`);
    await page.selectOption('#filter-column', 'country_name');
    await page.selectOption('#filter-operator', 'in');
    await page.fill('#filter-value', 'Brazil, Vietnam');
    await page.click('form.ask button');
    await page.click('.rows thead a:text("market_year")');
    assert(page.url().endsWith('?country_name=in.%28Brazil%2CVietnam%29&order=market_year'), page.url());
    const countries = await page.locator('.rows tbody td:nth-child(2)').allInnerTexts();
    assert(countries.length === 50 && countries.every((name) => ['Brazil', 'Vietnam'].includes(name)), countries.join());
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('.formats a:text("CSV")')]);
    assert(/^commodity_metrics-\d{4}-\d\d-\d\d\.csv$/.test(download.suggestedFilename()), download.suggestedFilename());
    const lines = readFileSync(await download.path(), 'utf8').trim().split('\r\n');
    assert(lines.length > 100 && lines.slice(1).every((line) => /Brazil|Vietnam/.test(line)), `${lines.length} lines`);
  });

  await promise('without scripts filters, figures and sign-out work', async () => {
    const plain = await browser.newContext({ javaScriptEnabled: false });
    const tab = await plain.newPage();
    await tab.goto(`${base}/auth/dev-login?email=pro@example.test`);
    await tab.goto(`${base}/dashboard/supply`);
    const select = tab.locator('.filters select').first();
    const values = await select.locator('option').evaluateAll((all) => all.map((one) => one.value)).catch(() => []);
    if (values.length > 1) await select.selectOption(values.at(-1));
    await tab.click('.filters button[type=submit]');
    assert(tab.url().includes('?'), 'the form was not sent');
    await tab.locator('.figures summary').first().click();
    assert(await tab.locator('.figures table').first().isVisible(), 'no figures');
    await tab.click('.account button');
    await tab.goto(`${base}/settings`);
    assert(tab.url().includes('/auth/login'), 'still signed in');
    await plain.close();
  });

  await promise('the browser has nothing to complain about', async () => {
    const own = complaints.filter((text) => !text.includes('404') && !text.includes('403'));
    assert(own.length === 0, own.join('; '));
  });

  await promise('asked to stop, the server does, although pages are listening', async () => {
    const ended = new Promise((done) => server.on('exit', done));
    server.kill('SIGTERM');
    const code = await Promise.race([ended, new Promise((done) => setTimeout(() => done('not within 10 s'), 10000))]);
    assert(code === 0, `exit ${code}`);
  });
} finally {
  await browser.close();
  server.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
if (broken) {
  console.log(log.split('\n').filter((line) => /"level":"(WARN|ERROR)"/.test(line)).slice(-20).join('\n'));
  process.exit(1);
}
