// Charts in headless Chromium: node charts.mjs path/to/materia folder...
//
// Each folder contains a materia.toml whose lakehouse is exported here. On every dashboard, at every width: no two texts of a chart overlap, none exceeds its card, none is too
// small; the tooltip of each mark matches the table below the chart; a series has one color. Prints a line for each guarantee; exits with 1 if one is violated.
// SHOTS=folder saves screenshots. CHROMIUM names the browser, /usr/bin/chromium by default.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { brokenPromises, eventually, freePort, openBrowser, promise } from './common.mjs';

const materia = resolve(process.argv[2] ?? 'materia');
const folders = process.argv.slice(3).map((folder) => resolve(folder));
const shots = process.env.SHOTS;
if (shots) mkdirSync(shots, { recursive: true });
const WIDTHS = [375, 768, 1024, 1440];
const MAX_PAGE = 300_000;

function assertNone(wrong) {
  if (wrong.length) throw new Error(`${wrong.length}: ${wrong.slice(0, 12).join('; ')}`);
}

/** Finds texts of charts that overlap, are clipped or are too small, in the page. */
function textsThatAreWrong() {
  const wrong = [];
  for (const plot of document.querySelectorAll('.plot')) {
    const panel = plot.closest('.panel');
    const title = panel?.querySelector('h2')?.textContent ?? plot.dataset.title;
    const drawn = [...plot.querySelectorAll('svg')].filter((svg) => svg.clientWidth > 0);
    if (drawn.length !== 1) { wrong.push(`${title}: ${drawn.length} drawings are shown`); continue; }
    const [svg] = drawn;
    const frame = (panel ?? plot).getBoundingClientRect();
    const own = svg.getBoundingClientRect();
    const scale = own.width / svg.viewBox.baseVal.width;
    const texts = [...svg.querySelectorAll('text')].map((text) => ({ text: text.textContent, box: text.getBoundingClientRect(), size: parseFloat(getComputedStyle(text).fontSize) * scale }));
    for (const { text, box, size } of texts) {
      if (size < 11) wrong.push(`${title}: ${JSON.stringify(text)} has ${size.toFixed(1)} px`);
      if (box.left < own.left - 1 || box.right > own.right + 1 || box.top < own.top - 1 || box.bottom > own.bottom + 1) wrong.push(`${title}: ${JSON.stringify(text)} is clipped`);
      if (box.left < frame.left || box.right > frame.right) wrong.push(`${title}: ${JSON.stringify(text)} leaves its card`);
    }
    texts.forEach((one, at) => {
      for (const other of texts.slice(at + 1)) {
        const across = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
        const down = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
        // A line of text has space above and below its letters.
        if (across > 0.5 && down > 3) wrong.push(`${title}: ${JSON.stringify(one.text)} and ${JSON.stringify(other.text)} overlap`);
      }
    });
  }
  const body = document.documentElement;
  if (body.scrollWidth > body.clientWidth) wrong.push(`the page is ${body.scrollWidth - body.clientWidth} px too wide`);
  for (const row of document.querySelectorAll('.panel .grid tbody tr')) if (row.offsetHeight > 110) wrong.push(`a row is ${row.offsetHeight} px high`);
  return wrong;
}

/** Compares the tooltip of each mark with the table. Returns the number of marks and the errors. */
function marksThatAreWrong() {
  const wrong = [];
  let marks = 0;
  for (const plot of document.querySelectorAll('.plot')) {
    const title = plot.dataset.title;
    const svg = [...plot.querySelectorAll('svg')].find((one) => one.clientWidth > 0);
    const table = document.getElementById(plot.dataset.chart + '-figures');
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent));
    if (plot.dataset.order === 'newest') rows.reverse();
    const unit = plot.dataset.unit ? ' ' + plot.dataset.unit : '';
    const area = svg.getBoundingClientRect();
    const scale = area.width / svg.viewBox.baseVal.width;
    const found = (x, y) => {
      plot.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: area.left + x * scale, clientY: area.top + y * scale, pointerType: 'mouse' }));
      const tip = plot.querySelector('.tip');
      if (!tip) return null;
      const lines = [...tip.querySelectorAll(':scope > span')].map((line) => [line.firstChild.textContent, line.querySelector('em')?.textContent]);
      return { heading: tip.querySelector('b').textContent, lines };
    };
    const expect = (x, y, row, column) => {
      marks++;
      const tip = found(x, y);
      const line = tip?.lines.find(([name]) => name === heads[column]);
      const isListed = column <= 12;
      const own = table.tHead.rows[0].cells[column].dataset.unit;
      const counted = own == null ? unit : own && ' ' + own;
      if (tip?.heading !== row[0] || (isListed && line?.[1] !== row[column] + counted)) wrong.push(`${title}: at ${row[0]}, ${heads[column]} = ${row[column]} the pointer finds ${JSON.stringify(tip)}`);
    };
    const numbers = (mark, ...names) => names.map((name) => +mark.getAttribute(name));
    const withValue = (column) => rows.filter((row) => row[column] !== '');
    const spots = [...svg.querySelectorAll('[data-x]')];
    if (plot.matches('.map') && spots.length !== rows.length) wrong.push(`${title}: ${spots.length} marks, and ${rows.length} figures`);
    spots.forEach((mark, at) => {
      marks++;
      const tip = found(+mark.dataset.x, +mark.dataset.y);
      // Dots at one place hide one another.
      const same = rows.filter((_, other) => spots[other].dataset.x === mark.dataset.x && spots[other].dataset.y === mark.dataset.y);
      const shown = [...table.tHead.rows[0].cells].map((head, column) => [head, column]).filter(([head, column]) => column && head.dataset.quiet == null);
      const fits = (row) => tip?.heading === row[0] && shown.every(([head, column], line) => tip.lines[line][0] === head.textContent && tip.lines[line][1] === row[column] + (head.dataset.unit ? ' ' + head.dataset.unit : ''));
      if (!same.some(fits)) wrong.push(`${title}: the pointer finds ${JSON.stringify(tip)} at ${JSON.stringify(rows[at])}`);
      const box = mark.getBoundingClientRect();
      if (box.right < area.left || box.left > area.right || box.bottom < area.top || box.top > area.bottom) wrong.push(`${title}: ${rows[at][0]} is beyond the map`);
    });
    svg.querySelectorAll('.bars').forEach((group, series) => {
      const known = withValue(series + 1);
      const rects = [...group.querySelectorAll('rect')];
      if (rects.length !== known.length) return wrong.push(`${title}: ${rects.length} bars of ${heads[series + 1]}, and ${known.length} figures`);
      rects.forEach((rect, at) => {
        const [x, y, width, height] = numbers(rect, 'x', 'y', 'width', 'height');
        expect(x + width / 2, y + height / 2, known[at], series + 1);
      });
    });
    const bars = svg.querySelectorAll('.bars').length;
    svg.querySelectorAll('.line path, .area .edge').forEach((path, line) => {
      const series = bars + line;
      const known = withValue(series + 1);
      let points = [...path.getAttribute('d').matchAll(/([ML])(-?[\d.]+),(-?[\d.]+)/g)].map((found) => [found[1], +found[2], +found[3]]);
      // A single value of an area is a narrow column.
      points = points.filter(([, x, y], at) => !(path.matches('.edge') && points[at - 1]?.[0] === 'M' && Math.abs(x - points[at - 1][1] - 3) < 0.01 && y === points[at - 1][2] && points[at + 1]?.[0] !== 'L'));
      if (points.length !== known.length) return wrong.push(`${title}: ${points.length} points of ${heads[series + 1]}, and ${known.length} figures`);
      points.forEach(([, x, y], at) => {
        // Neighbors closer than a tenth of a pixel have the same position.
        const close = known.filter((_, other) => Math.abs(points[other][1] - x) < 0.35);
        if (close.length === 1) return expect(x, y, known[at], series + 1);
        marks++;
        const tip = found(x, y);
        if (!close.some((row) => tip?.heading === row[0])) wrong.push(`${title}: at ${known[at][0]}, the pointer finds ${JSON.stringify(tip)}`);
      });
    });
    const dots = [...svg.querySelectorAll('.dots circle')];
    if (dots.length && dots.length !== rows.length) wrong.push(`${title}: ${dots.length} dots, and ${rows.length} figures`);
    dots.forEach((dot) => {
      marks++;
      const [x, y] = numbers(dot, 'cx', 'cy');
      const tip = found(x, y);
      const same = rows.filter((_, at) => dots[at].getAttribute('cx') === dot.getAttribute('cx') && dots[at].getAttribute('cy') === dot.getAttribute('cy'));
      if (!same.some((row) => tip?.heading === row[0] && tip.lines[0][1] === row[1] && tip.lines[1][1] === row[2] + unit)) wrong.push(`${title}: the pointer finds ${JSON.stringify(tip)} at a dot of ${JSON.stringify(same[0])}`);
    });
    svg.querySelectorAll('.ends').forEach((group, series) => {
      const known = withValue(series + 1);
      const ends = [...group.querySelectorAll('circle')];
      if (ends.length !== known.length) return wrong.push(`${title}: ${ends.length} dots of ${heads[series + 1]}, and ${known.length} figures`);
      ends.forEach((dot, at) => expect(...numbers(dot, 'cx', 'cy'), known[at], series + 1));
    });
    const boxes = [...svg.querySelectorAll('.boxes rect')];
    if (boxes.length && boxes.length !== rows.length) wrong.push(`${title}: ${boxes.length} boxes, and ${rows.length} figures`);
    boxes.forEach((box, at) => {
      const [x, y, width, height] = numbers(box, 'x', 'y', 'width', 'height');
      expect(x + width / 2, y + height / 2, rows[at], 3);
    });
    if (!svg.querySelector('.boxes rect, .ends circle, .bars rect, .line path, .area path, .dots circle, [data-x]')) wrong.push(`${title}: nothing is drawn`);
  }
  return { marks, wrong };
}

/** Clicks the titles of every table's columns of numbers, and returns where the rows are not in order. */
function ordersThatAreWrong() {
  const wrong = [];
  const number = (text) => {
    const plain = text.replaceAll(/[,%€$▲▼\s]/g, '').replace('−', '-');
    return plain === '' ? null : /^[+-]?[\d.]+$/.test(plain) ? +plain : NaN;
  };
  for (const table of document.querySelectorAll('.panel table.grid')) {
    const title = table.closest('.panel').querySelector('h2').textContent;
    const column = (at) => [...table.tBodies[0].rows].map((row) => row.cells[at].textContent);
    for (const [at, head] of [...table.tHead.rows[0].cells].entries()) {
      const delivered = column(at).join('|');
      const button = head.querySelector('.sort');
      if (!head.dataset.ranks !== !button) wrong.push(`${title}: ${head.textContent} has no button`);
      if (!button) continue;
      button.click();
      const values = column(at).map(number);
      const isNumeric = head.matches('.right') && !values.some(Number.isNaN);
      const known = values.filter((value) => value != null);
      if (isNumeric && values.slice(0, known.length).includes(null)) wrong.push(`${title}: ${head.textContent} begins with missing values`);
      // Equal figures may differ in digits that are not shown.
      if (isNumeric && known.some((value, row) => row && value > known[row - 1])) wrong.push(`${title}: ${head.textContent} is ${values.join(' ')}`);
      button.click();
      button.click();
      if (column(at).join('|') !== delivered) wrong.push(`${title}: ${head.textContent} does not return to its order`);
    }
  }
  return wrong;
}

/** Finds series with two colors, and colors with two series. Several may be gray. */
function colorsThatAreWrong() {
  const wrong = [];
  const known = new Map();
  for (const plot of document.querySelectorAll('.plot')) {
    const heads = [...document.getElementById(plot.dataset.chart + '-figures').tHead.rows[0].cells].slice(1).filter((head) => head.dataset.color);
    // The five figures of a box plot are one.
    if (plot.querySelector('.boxes')) continue;
    const colors = heads.map((head) => head.dataset.color).filter((color) => color !== 's-other');
    if (new Set(colors).size < colors.length) wrong.push(`${plot.dataset.title}: a color stands for two series`);
    if (heads.length < 2) continue;
    for (const head of heads) {
      const [name, color] = [head.textContent, head.dataset.color];
      if (name === 'Other') continue;
      if (known.has(name) && known.get(name) !== color) wrong.push(`${name} is ${known.get(name)} and ${color}`);
      known.set(name, color);
    }
  }
  return wrong;
}

const browser = await openBrowser();
try {
  for (const folder of folders) {
    const port = await freePort();
    const base = `http://127.0.0.1:${port}`;
    const env = { ...process.env, DEBUG: 'true', BASE_URL: base, MATERIA_REQUESTS_PER_MINUTE: '0', DATABASE_URL: `sqlite://${join(folder, 'accounts.db')}`, MATERIA_CONFIG: join(folder, 'materia.toml') };
    execFileSync(materia, ['users', 'seed'], { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] });
    const server = spawn(materia, ['web', '--listen', `127.0.0.1:${port}`], { cwd: folder, env, stdio: 'ignore' });
    try {
      await eventually('the site answers', async () => (await fetch(`${base}/ready`)).ok);
      for (const width of WIDTHS) {
        const context = await browser.newContext({ viewport: { width, height: 900 }, reducedMotion: 'reduce' });
        const page = await context.newPage();
        await page.goto(`${base}/auth/dev-login?email=pro@example.test`);
        await page.goto(`${base}/dashboard/`);
        const tabs = await page.locator('.tabs a').evaluateAll((links) => links.map((link) => link.getAttribute('href')));
        const paths = tabs.length ? tabs : [new URL(page.url()).pathname];
        for (const path of paths) {
          const response = await page.goto(base + path);
          const weight = (await response.body()).length;
          if (shots) await page.screenshot({ path: join(shots, `${basename(folder)}${path.replaceAll('/', '-')}.${width}.png`), fullPage: true });
          await promise(`${path} at ${width} px: no text of a chart overlaps another, is clipped or too small`, async () => assertNone(await page.evaluate(textsThatAreWrong)));
          await promise(`${path} at ${width} px: every mark has its own figures under the pointer`, async () => {
            const { marks, wrong } = await page.evaluate(marksThatAreWrong);
            assertNone(wrong);
            if (!marks) throw new Error('there are no marks');
          });
          if (width !== WIDTHS.at(-1)) continue;
          await promise(`${path}: the titles of columns sort tables`, async () => assertNone(await page.evaluate(ordersThatAreWrong)));
          await promise(`${path}: a series has one color`, async () => assertNone(await page.evaluate(colorsThatAreWrong)));
          await promise(`${path}: the page is ${Math.round(weight / 1000)} kB, at most ${MAX_PAGE / 1000}`, async () => { if (weight > MAX_PAGE) throw new Error(`${weight} bytes`); });
        }
        await context.close();
      }
    } finally {
      server.kill('SIGKILL');
    }
  }
} finally {
  await browser.close();
}
if (brokenPromises()) process.exit(1);
