// Screenshots of every page, for people to look at: node shots.mjs path/to/materia folder
//
// Each page at 375, 768, 1440 and 1920 px, light and dark; prints pages that scroll sideways, and exits with 1 if there are any.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { eventually, freePort, openBrowser } from './common.mjs';

const [materia, shots] = [resolve(process.argv[2] ?? 'materia'), resolve(process.argv[3] ?? 'shots')];
mkdirSync(shots, { recursive: true });
const folder = mkdtempSync(join(tmpdir(), 'materia-shots-'));
const port = await freePort();
const base = `http://127.0.0.1:${port}`;
const env = { ...process.env, DEBUG: 'true', BASE_URL: base, ADMIN_EMAILS: 'admin@example.test', MATERIA_REQUESTS_PER_MINUTE: '0', DATABASE_URL: `sqlite://${join(folder, 'accounts.db')}` };
const run = (...args) => execFileSync(materia, args, { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] });

const visitor = ['/', '/pricing', '/methodology', '/docs/api', '/auth/login', '/auth/signup', '/legal/terms', '/nothing'];
const customer = ['/home', '/home/save?page=/dashboard/supply', '/dashboard/pulse', '/dashboard/supply', '/dashboard/origins', '/dashboard/positioning', '/dashboard/trade', '/tables', '/tables/coffee_prices', '/tables/commodity_metrics', '/tables/commodity_metrics/row?offset=3', '/tables/coffee_prices/columns', '/tables/coffee_prices/columns/arabica', '/tables/commodity_metrics/columns/country_name', '/search?q=stock', '/settings'];
const admin = ['/admin/', '/admin/accounts', '/admin/exports', '/admin/traffic', '/admin/usage', '/admin/requests', '/admin/alerts', '/admin/mail', '/admin/audit'];
const wide = [];

run('demo', '.');
run('export');
run('users', 'seed');
const server = spawn(materia, ['web', '--listen', `127.0.0.1:${port}`], { cwd: folder, env, stdio: 'ignore' });
const browser = await openBrowser();
try {
  await eventually('the site answers', async () => (await fetch(`${base}/ready`)).ok);
  for (const [who, paths] of [['visitor', visitor], ['pro', customer], ['admin', admin]]) {
    for (const colorScheme of ['light', 'dark']) {
      for (const width of [375, 768, 1440, 1920]) {
        const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, reducedMotion: 'reduce' });
        const page = await context.newPage();
        if (who !== 'visitor') await page.goto(`${base}/auth/dev-login?email=${who}@example.test`);
        for (const path of paths) {
          await page.goto(base + path);
          const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          if (over > 0) wide.push(`${path} at ${width} px: ${over} px too wide`);
          const name = path.split('?')[0].replaceAll('/', '_').replace(/^_/, '') || 'front';
          await page.screenshot({ path: join(shots, `${name}-${width}-${colorScheme}.png`), fullPage: width !== 768 });
        }
        await context.close();
      }
    }
  }
} finally {
  await browser.close();
  server.kill();
  rmSync(folder, { recursive: true, force: true });
}
for (const line of wide) console.log(line);
process.exit(wide.length ? 1 : 0);
