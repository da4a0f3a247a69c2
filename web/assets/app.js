// What the site can do beyond its pages: filters without a reload, news of the next generation, and figures under the finger.
// Every page works without it.
'use strict';
(() => {
  const root = document.documentElement;
  root.classList.add('live');

  // ---- Parts of the page are fetched again; scroll, focus, folds and what is being typed stay as they are.

  let latest = 0;
  async function refresh(address, parts) {
    const turn = ++latest;
    const panels = document.getElementById('panels');
    panels?.setAttribute('aria-busy', 'true');
    try {
      const response = await fetch(address, { headers: { accept: 'text/html' }, credentials: 'same-origin' });
      if (response.redirected && new URL(response.url).pathname !== new URL(address, location.href).pathname) return location.assign(response.url);
      const text = await response.text();
      if (turn !== latest || !response.ok) return;
      const page = new DOMParser().parseFromString(text, 'text/html');
      for (const id of parts) swap(id, page);
      document.body.dataset.generation = page.body.dataset.generation;
      document.title = page.title;
      charts();
    } catch {
      // The network is away: what is on screen stays.
    } finally {
      if (turn === latest) document.getElementById('panels')?.removeAttribute('aria-busy');
    }
  }

  function swap(id, page) {
    const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
    if (!old || !fresh) return;
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const path = focused && pathTo(focused, old);
    const caret = focused?.selectionStart;
    const open = [...old.querySelectorAll('details')].map((fold) => fold.open);
    const scrolled = [...old.querySelectorAll('.scroll, fieldset')].map((one) => [one.scrollLeft, one.scrollTop]);
    const [x, y] = [scrollX, scrollY];
    const adopted = document.importNode(fresh, true);
    old.replaceWith(adopted);
    [...adopted.querySelectorAll('details')].forEach((fold, at) => { fold.open = open[at] ?? fold.open; });
    [...adopted.querySelectorAll('.scroll, fieldset')].forEach((one, at) => { if (scrolled[at]) [one.scrollLeft, one.scrollTop] = scrolled[at]; });
    if (path) {
      const again = (focused.id && document.getElementById(focused.id)) || path.reduce((node, at) => node?.children[at], adopted);
      if (again?.matches('.plot')) again.tabIndex = 0;
      again?.focus({ preventScroll: true });
      if (caret != null && again?.setSelectionRange) try { again.value = focused.value; again.setSelectionRange(caret, caret); } catch { /* not a text field */ }
    }
    scrollTo({ left: x, top: y, behavior: 'instant' });
  }

  function pathTo(node, top) {
    const path = [];
    for (; node !== top; node = node.parentElement) path.unshift([...node.parentElement.children].indexOf(node));
    return path;
  }

  // ---- Filters: a change shows itself, and the address follows.

  function addressOf(form) {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value !== '') query.append(name, value);
    const text = query.toString();
    return form.getAttribute('action') + (text ? '?' + text : '');
  }

  const here = () => location.pathname + location.search;
  let shown = here();

  function show(form) {
    const address = addressOf(form);
    history.pushState(null, '', address);
    shown = here();
    refresh(address, ['filters', 'panels', 'freshness']);
  }

  let typing;
  document.addEventListener('input', (event) => {
    const form = event.target.closest?.('[data-live-form]');
    if (!form || event.target.type !== 'search') return;
    clearTimeout(typing);
    typing = setTimeout(() => show(form), 350);
  });
  document.addEventListener('change', (event) => {
    const form = event.target.closest?.('[data-live-form]');
    if (form && event.target.type !== 'search') show(form);
  });
  document.addEventListener('submit', (event) => {
    if (event.target.matches('[data-live-form]')) { event.preventDefault(); show(event.target); }
    // A second click would send the form again, and the browser would drop the answer to the first.
    if (event.target.matches('[data-once]')) {
      const buttons = event.target.querySelectorAll('button');
      for (const button of buttons) button.disabled = true;
      addEventListener('pageshow', () => { for (const button of buttons) button.disabled = false; }, { once: true });
    }
  });
  // Back and forward; going to a place in the page is told the same way, and changes nothing.
  addEventListener('popstate', () => { if (here() !== shown) location.reload(); });
  document.addEventListener('click', (event) => {
    for (const fold of document.querySelectorAll('.choice[open]')) if (!fold.contains(event.target)) fold.open = false;
  });
  document.addEventListener('keydown', (event) => {
    const fold = event.key === 'Escape' && event.target.closest?.('.choice[open]');
    if (fold) { fold.open = false; fold.querySelector('summary').focus(); }
  });

  // ---- The next generation: pages that show data draw it, every page tells its age.

  // Only while somebody looks: a browser keeps few connections to a site, and forgotten tabs would use them up.
  let events;
  function listen() {
    if (document.hidden || events) return;
    events = new EventSource('/events');
    events.addEventListener('generation', (event) => {
      if (event.data === document.body.dataset.generation) return;
      if (!document.body.dataset.generation) return location.reload();
      refresh(location.href, ['panels', 'freshness']);
    });
    // Nothing has changed since: the same data is younger than it was.
    events.addEventListener('confirmed', (event) => {
      for (const time of document.querySelectorAll('#freshness time')) {
        time.dateTime = event.data;
        time.textContent = ago((Date.now() - Date.parse(event.data)) / 1000);
      }
    });
  }
  function rest() {
    events?.close();
    events = undefined;
  }
  if ('EventSource' in window) {
    document.addEventListener('visibilitychange', () => (document.hidden ? rest() : listen()));
    addEventListener('pagehide', rest);
    addEventListener('pageshow', listen);
  }

  function ago(seconds) {
    if (seconds < 60) return 'just now';
    if (seconds < 3600) return Math.floor(seconds / 60) + ' min ago';
    if (seconds < 172800) return Math.floor(seconds / 3600) + ' h ago';
    return Math.floor(seconds / 86400) + ' days ago';
  }
  setInterval(() => {
    for (const time of document.querySelectorAll('time[data-ago]')) time.textContent = ago((Date.now() - Date.parse(time.dateTime)) / 1000);
  }, 20000);

  // ---- Charts: figures under the pointer, and by the arrow keys.

  const SVG = 'http://www.w3.org/2000/svg';

  /** What can be pointed at: where it is in the drawing, its heading, and its lines. */
  function stops(plot) {
    const svg = plot.querySelector('svg');
    const dots = [...svg.querySelectorAll('.dots circle')];
    if (dots.length) return dots.map((dot) => ({ x: +dot.getAttribute('cx'), y: +dot.getAttribute('cy'), lines: [], heading: dot.textContent }));
    const table = document.getElementById(plot.dataset.chart + '-figures');
    if (!table || !svg.dataset.places) return [];
    const names = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent);
    const rows = [...table.tBodies[0].rows];
    if (svg.dataset.order === 'newest') rows.reverse();
    const places = svg.dataset.places.split(' ').map(Number);
    return rows.map((row, at) => ({
      x: svg.dataset.lying ? null : places[at],
      y: svg.dataset.lying ? places[at] : null,
      heading: row.cells[0].textContent,
      lines: [...row.cells].slice(1).map((cell, column) => [names[column], cell.textContent, column]).filter((line) => line[1] !== ''),
    }));
  }

  function charts() {
    for (const plot of document.querySelectorAll('.plot:not([data-ready])')) {
      plot.dataset.ready = '';
      const svg = plot.querySelector('svg');
      const all = stops(plot);
      if (!all.length) continue;
      plot.tabIndex = 0;
      plot.setAttribute('role', 'group');
      plot.setAttribute('aria-label', svg.querySelector('title').textContent + '. Arrow keys read the figures.');
      const box = svg.viewBox.baseVal;
      let at = -1, tip, cursor, said;

      const hide = () => { tip?.remove(); cursor?.remove(); tip = cursor = null; };
      const show = (place, aloud) => {
        at = place;
        hide();
        const stop = all[place];
        const scale = svg.clientWidth / box.width;
        cursor = document.createElementNS(SVG, stop.x != null && stop.y != null ? 'circle' : 'line');
        cursor.setAttribute('class', 'cursor');
        const set = (values) => Object.entries(values).forEach(([name, value]) => cursor.setAttribute(name, value));
        if (stop.x != null && stop.y != null) set({ cx: stop.x, cy: stop.y, r: 8, fill: 'none' });
        else if (stop.x != null) set({ x1: stop.x, x2: stop.x, y1: 8, y2: box.height - 28 });
        else set({ y1: stop.y, y2: stop.y, x1: 0, x2: box.width });
        svg.append(cursor);
        tip = document.createElement('div');
        tip.className = 'tip';
        tip.setAttribute('aria-hidden', 'true');
        const heading = document.createElement('b');
        heading.textContent = stop.heading;
        tip.append(heading);
        for (const [name, value, column] of stop.lines.slice(0, 12)) {
          const line = document.createElement('span');
          const label = document.createElement('i');
          const known = plot.parentElement.querySelectorAll(':scope > .legend .swatch')[column];
          label.className = known?.className ?? 'swatch s' + (column % 10);
          const figure = document.createElement('em');
          figure.textContent = value;
          const words = document.createElement('span');
          words.append(label, name);
          line.append(words, figure);
          tip.append(line);
        }
        plot.append(tip);
        const left = (stop.x ?? box.width / 2) * scale, top = (stop.y ?? 16) * scale;
        const beside = left + tip.offsetWidth + 24 > plot.clientWidth ? left - tip.offsetWidth - 12 : left + 12;
        tip.style.left = Math.max(0, beside) + 'px';
        tip.style.top = Math.max(0, Math.min(top, plot.clientHeight - tip.offsetHeight)) + 'px';
        if (aloud) {
          said ??= plot.appendChild(Object.assign(document.createElement('p'), { className: 'unseen' }));
          said.setAttribute('role', 'status');
          said.textContent = stop.heading + (stop.lines.length ? ': ' + stop.lines.map((line) => line[0] + ' ' + line[1]).join(', ') : '');
        }
      };

      plot.addEventListener('pointermove', (event) => {
        const area = svg.getBoundingClientRect();
        const [x, y] = [(event.clientX - area.left) / area.width * box.width, (event.clientY - area.top) / area.height * box.height];
        const far = (stop) => Math.hypot(stop.x == null ? 0 : stop.x - x, stop.y == null ? 0 : stop.y - y);
        let nearest = 0;
        all.forEach((stop, index) => { if (far(stop) < far(all[nearest])) nearest = index; });
        if (nearest !== at || !tip) show(nearest, false);
      });
      plot.addEventListener('pointerleave', hide);
      plot.addEventListener('blur', hide);
      plot.addEventListener('keydown', (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (event.key === 'Escape') return hide();
        if (event.key === 'Home') show(0, true);
        else if (event.key === 'End') show(all.length - 1, true);
        else if (step) show(at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, at + step)), true);
        else return;
        event.preventDefault();
      });
    }
  }
  charts();
})();
