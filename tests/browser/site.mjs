// The site in headless Chromium: node site.mjs path/to/materia
//
// Creates sample figures in a temporary folder, serves them, and acts like customers. Prints a line for each guarantee; exits with 1 if one is violated.
// SHOTS=folder saves screenshots. CHROMIUM names the browser, /usr/bin/chromium by default.
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { brokenPromises, eventually, freePort, openBrowser, promise } from './common.mjs';

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

const assert = (holds, why) => { if (!holds) throw new Error(why); };

run('demo', '.');
// The browser that prints is the one of these tests; as root it has no sandbox.
appendFileSync(join(folder, 'materia.toml'), `\n[web]\nchromium = [${JSON.stringify(process.env.CHROMIUM ?? '/usr/bin/chromium')}, "--no-sandbox"]\n`);
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
      // Slow enough for the second click to precede the first response.
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
      // The second click ends the first one's navigation, which waiting for a navigation reports as an error.
      await eventually('the page that follows signing in', async () => !new URL(tab.url()).pathname.startsWith('/auth/'));
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

  await promise('a selection that cannot be loaded says so, leaves the former one, and is loaded when the network is back', async () => {
    await page.goto(`${base}/dashboard/supply`);
    const select = page.locator('.filters select').first();
    const [address, before, shown] = [page.url(), await select.inputValue(), await page.locator('#panels').innerText()];
    const values = await select.locator('option').evaluateAll((all) => all.map((one) => one.value));
    const other = values.find((value) => value !== before);
    await context.setOffline(true);
    await select.selectOption(other);
    await page.locator('#failed[role=alert]').waitFor();
    assert((await select.inputValue()) === before && page.url() === address, 'the form or the address claims what is not shown');
    assert((await page.locator('#panels').innerText()) === shown, 'the panels are gone');
    await context.setOffline(false);
    await eventually('the selection is loaded', async () => (await select.inputValue()) === other && page.url() !== address);
    assert((await page.locator('#failed').count()) === 0, 'the notice stays');
    complaints.length = 0;
  });

  await promise("a panel's menu opens by keyboard, copies the panel's link with its filters, and closes by Escape", async () => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const panel = page.locator('#panel-surplus');
    await panel.locator('.menu summary').focus();
    await page.keyboard.press('Enter');
    const filters = new URL(page.url()).search;
    assert((await panel.locator('.menu a').first().getAttribute('href')).includes(filters.slice(1)), 'the file has other filters');
    await panel.locator('.menu [data-copy]').click();
    await eventually('it says so', async () => (await panel.locator('.menu [data-copy]').innerText()) === 'Link copied');
    assert((await page.evaluate(() => navigator.clipboard.readText())) === `${base}/dashboard/supply${filters}#panel-surplus`, 'another address');
    await page.keyboard.press('Escape');
    assert((await panel.locator('.menu[open]').count()) === 0, 'it stays open');
  });

  await promise('back shows what was shown before', async () => {
    const address = page.url();
    const shown = await page.locator('#panels').innerText();
    const select = page.locator('.filters select').first();
    const values = await select.locator('option').evaluateAll((all) => all.map((one) => one.value));
    const current = await select.inputValue();
    await select.selectOption(values.find((value) => value !== current));
    await eventually('the address follows', async () => page.url() !== address);
    // Otherwise the screen before going back would be mistaken for the one after it, and the page would load during the next check.
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
    await page.locator('.toast[role=status]', { hasText: 'Updated just now' }).waitFor();
    assert(took < 2000, `it took ${took} ms`);
    await eventually('it has settled', () => page.evaluate(() => !document.querySelector('[aria-busy]')));
    const now = await page.evaluate(() => scrollY);
    assert(now === scrolled, `it scrolled from ${scrolled} to ${now}`);
    assert(await page.locator('.figures').first().evaluate((fold) => fold.open), 'a fold closed');
    assert(await page.evaluate(() => document.activeElement.matches('summary')), 'focus was lost');
    assert(page.url().endsWith('?years_from=2015'), 'the address changed');
  });

  await promise('figures under the pointer stay there through an update', async () => {
    const before = await page.evaluate(() => document.body.dataset.generation);
    await page.locator('.plot').first().hover();
    await page.locator('.tip').waitFor();
    const shown = await page.locator('.tip').innerText();
    run('export', '--full');
    await eventually('the page follows', () => page.evaluate((old) => document.body.dataset.generation !== old, before));
    await eventually('it has settled', () => page.evaluate(() => !document.querySelector('[aria-busy]')));
    assert(await page.locator('.tip').count() === 1, 'they are gone');
    assert(await page.locator('.tip').innerText() === shown, 'others are shown');
    await page.mouse.move(1, 1);
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

  await promise('a keyboard alone saves a view, a favorite, an alert and a digest, and comes back to the view, without scripts', async () => {
    const plain = await browser.newContext({ javaScriptEnabled: false });
    const tab = await plain.newPage();
    await tab.goto(`${base}/auth/dev-login?email=pro@example.test`);
    const save = async () => {
      await tab.goto(`${base}/dashboard/origins?years_from=2015`);
      await tab.locator('.page-tools a:text("Save or follow")').press('Enter');
      await tab.waitForURL(/home\/save/);
    };
    const done = (words) => tab.locator('.notice', { hasText: words }).waitFor();
    await save();
    await tab.locator('#name').focus();
    await tab.keyboard.type('Since 2015');
    await tab.keyboard.press('Tab');
    await tab.keyboard.press('Space');
    await tab.keyboard.press('Tab');
    await tab.keyboard.press('Enter');
    await done('The view was saved.');
    await save();
    await tab.locator('button:text("Add to favorites")').press('Enter');
    await done('added to your favorites');
    await save();
    await tab.locator('#condition').selectOption('above');
    await tab.locator('#figure').selectOption({ index: 1 });
    await tab.locator('#threshold').focus();
    await tab.keyboard.type('1,000');
    await tab.keyboard.press('Enter');
    await done('The alert was created.');
    await save();
    await tab.locator('button:text("Subscribe")').press('Enter');
    await done('The digest was created.');
    await tab.locator('header a:text("Dashboards")').press('Enter');
    await tab.waitForURL(/\/dashboard\/origins\?years_from=2015$/);
    await plain.close();
  });

  await page.goto(`${base}/dashboard/pulse`);
  const dashboards = await page.locator('.tabs a').evaluateAll((links) => links.map((link) => link.getAttribute('href')));
  const tables = ['/tables', '/tables/coffee_prices?arabica=gte.2&order=month.desc', '/tables/commodity_metrics', '/tables/coffee_prices/columns', '/tables/coffee_prices?month=gte.soon'];
  const everybody = ['/', '/pricing', '/embed/pulse/prices', '/methodology', '/docs/api', '/legal/terms', '/auth/login', '/auth/signup', '/nowhere'];
  const visits = [
    ['nobody', null, everybody],
    ['free', 'free@example.test', [...dashboards, ...tables, '/settings', '/home', '/home/save?page=/dashboard/pulse', '/plans/starter', '/admin/']],
    ['pro', 'pro@example.test', [...dashboards, ...tables, '/settings', '/home', '/home/save?page=/dashboard/origins', '/search?q=price']],
    ['admin', 'admin@example.test', ['/admin/', '/admin/accounts', '/admin/requests', '/admin/exports', '/admin/mail', '/admin/audit', '/admin/traffic', '/admin/alerts', '/admin/usage']],
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
    await page.click('.rows thead a:text("Market year")');
    // The newest are first without asking, so the first click turns them round.
    assert(page.url().endsWith('?country_name=in.%28Brazil%2CVietnam%29&order=market_year'), page.url());
    const countries = await page.locator('.rows tbody td:nth-child(3)').allInnerTexts();
    assert(countries.length === 50 && countries.every((name) => ['Brazil', 'Vietnam'].includes(name)), countries.join());
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('.formats a:text("CSV")')]);
    assert(/^commodity_metrics-\d{4}-\d\d-\d\d\.csv$/.test(download.suggestedFilename()), download.suggestedFilename());
    const lines = readFileSync(await download.path(), 'utf8').trim().split('\r\n');
    assert(lines.length > 100 && lines.slice(1).every((line) => /Brazil|Vietnam/.test(line)), `${lines.length} lines`);
  });

  for (const [scripts, javaScriptEnabled] of [['with', true], ['without', false]]) {
    await promise(`values are suggested, a row and a column open, and numbers are raw on demand, ${scripts} scripts`, async () => {
      const own = await browser.newContext({ javaScriptEnabled });
      const tab = await own.newPage();
      await tab.goto(`${base}/auth/dev-login?email=pro@example.test`);
      await tab.goto(`${base}/tables/commodity_metrics`);
      if (javaScriptEnabled) await tab.selectOption('#filter-column', 'country_name');
      const suggested = await tab.locator('#filter-values option').evaluateAll((all) => all.map((one) => [one.value, one.dataset.column]));
      assert(suggested.some(([value]) => value === 'Brazil'), suggested.join());
      if (javaScriptEnabled) assert(suggested.every(([, column]) => column === 'country_name'), 'values of other columns');
      const readable = await tab.locator('.rows tbody').innerText();
      await tab.click('.tools a:text("Raw numbers")');
      assert((await tab.locator('.rows tbody').innerText()) !== readable, 'the same numbers');
      await tab.click('.rows tbody tr:nth-child(2) .row-link');
      assert((await tab.locator('.record tbody tr').count()) > 5, 'the row has no columns');
      await tab.click('a:text("Back to the rows")');
      await tab.locator('.rows .chart-link').last().click();
      assert(/\/columns\/[^/]+$/.test(tab.url()), tab.url());
      assert((await tab.locator('main .plot svg:visible').count()) > 0, 'no chart');
      await own.close();
    });
  }

  for (const [scripts, javaScriptEnabled] of [['with', true], ['without', false]]) {
    await promise(`the API's page shows one language at a time, ${scripts} scripts`, async () => {
      const own = await browser.newContext({ javaScriptEnabled });
      const tab = await own.newPage();
      await tab.goto(`${base}/docs/api`);
      assert((await tab.locator('.language:visible').count()) === 1, 'all at once');
      await tab.locator('.languages label', { hasText: 'JavaScript' }).click();
      const code = await tab.locator('.language:visible pre').innerText();
      assert(code.includes('fetch(') && code.includes('BEANFLOWS_KEY'), code);
      assert((await tab.locator('.language .button:visible').count()) === (javaScriptEnabled ? 1 : 0), 'a copy button that cannot copy');
      await own.close();
    });
  }

  await promise('a dashboard comes down as PDF with its filters, and visitors without an account do not get one', async () => {
    await page.goto(`${base}/auth/dev-login?email=pro@example.test`);
    await page.goto(`${base}/dashboard/pulse?years_from=2015`);
    const address = await page.locator('a:text("Download PDF")').getAttribute('href');
    assert(address.startsWith('/dashboard/pulse/report.pdf?') && address.includes('years_from=2015'), address);
    const [download] = await Promise.all([page.waitForEvent('download', { timeout: 30000 }), page.click('a:text("Download PDF")')]);
    assert(/^pulse-\d{4}-\d\d-\d\d\.pdf$/.test(download.suggestedFilename()), download.suggestedFilename());
    const pdf = readFileSync(await download.path());
    assert(pdf.subarray(0, 5).toString() === '%PDF-' && pdf.length > 20000, `${pdf.length} bytes`);
    const visitor = await fetch(base + address, { redirect: 'manual' });
    assert(visitor.status === 303, `a visitor gets ${visitor.status}`);
  });

  await promise('an email ends with one click, without signing in and without scripts', async () => {
    await page.goto(`${base}/auth/dev-login?email=pro@example.test`);
    await page.goto(`${base}/home/save?page=/dashboard/pulse`);
    await page.selectOption('#condition', 'updated');
    await page.locator('button:text("Create alert")').click();
    await page.locator('.notice', { hasText: 'The alert was created.' }).waitFor();
    run('demo', '.', '--refresh');
    run('export');
    const own = await browser.newContext({ javaScriptEnabled: false });
    const tab = await own.newPage();
    const links = tab.locator('main a[href*="/unsubscribe/alert/"]');
    await eventually('the email arrives', async () => { await tab.goto(`${base}/dev/mailbox`); return (await links.count()) > 0; });
    const address = await links.first().getAttribute('href');
    await tab.goto(address);
    assert((await tab.locator('main').innerText()).includes('Pulse'), 'it does not say which alert');
    await tab.click('main button');
    assert((await tab.locator('main').innerText()).includes('You will no longer receive'), 'no confirmation');
    const byMail = (path) => fetch(path, { method: 'POST', body: 'List-Unsubscribe=One-Click', headers: { 'content-type': 'application/x-www-form-urlencoded' } });
    assert((await byMail(address)).status === 200, 'a mail program gets an error');
    assert((await byMail(address.slice(0, -1))).status === 404, 'a part of an address is enough');
    await own.close();
  });

  await promise('search opens by / and Ctrl-K, finds panels and columns while typing, and leads there by keyboard; ? lists the shortcuts', async () => {
    await page.goto(`${base}/dashboard/pulse`);
    await page.keyboard.press('?');
    await page.locator('dialog[open]', { hasText: 'Keyboard shortcuts' }).waitFor();
    await page.keyboard.press('Escape');
    assert((await page.locator('dialog[open]').count()) === 0, 'the shortcuts stay open');
    for (const keys of ['/', 'Control+k']) {
      await page.keyboard.press(keys);
      await page.locator('dialog[open] input[type=search]').waitFor();
      await page.keyboard.press('Escape');
      await eventually('it closes', async () => (await page.locator('dialog[open]').count()) === 0);
    }
    await page.keyboard.press('/');
    await page.keyboard.type('surplus');
    await page.locator('dialog .hits a').first().waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/dashboard\/supply#panel-surplus$/);
    await page.keyboard.press('Escape');
    const plain = await browser.newContext({ javaScriptEnabled: false });
    const tab = await plain.newPage();
    await tab.goto(`${base}/auth/dev-login?email=pro@example.test`);
    await tab.locator('[data-search]').press('Enter');
    await tab.fill('#search', 'arabica price');
    await tab.keyboard.press('Enter');
    await tab.locator('.hits a').nth(1).waitFor();
    await plain.close();
  });

  await promise('a keyboard alone asks for a plan and takes figures along, without scripts', async () => {
    const plain = await browser.newContext({ javaScriptEnabled: false });
    const tab = await plain.newPage();
    await tab.goto(`${base}/auth/dev-login?email=free@example.test`);
    const reach = async (words) => {
      for (let step = 0; step < 300; step++) {
        await tab.keyboard.press('Tab');
        const focused = tab.locator(':focus');
        if (await focused.count() && (await focused.innerText()).trim() === words) return;
      }
      throw new Error(`"${words}" is not reached by Tab`);
    };
    await reach('Pricing');
    await tab.keyboard.press('Enter');
    await tab.waitForURL(/\/pricing/);
    await reach('Choose Starter');
    await tab.keyboard.press('Enter');
    await tab.waitForURL(/\/plans\/starter/);
    await reach('Request Starter');
    await tab.keyboard.press('Enter');
    await tab.locator('.notice', { hasText: 'We received your request' }).waitFor();
    await tab.goto(`${base}/auth/dev-login?email=pro@example.test`);
    await tab.goto(`${base}/tables/coffee_prices`);
    await reach('CSV');
    const [download] = await Promise.all([tab.waitForEvent('download'), tab.keyboard.press('Enter')]);
    assert(download.suggestedFilename().endsWith('.csv'), download.suggestedFilename());
    await plain.close();
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
if (brokenPromises()) {
  console.log(log.split('\n').filter((line) => /"level":"(WARN|ERROR)"/.test(line)).slice(-20).join('\n'));
  process.exit(1);
}
