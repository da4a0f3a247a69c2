// Enhances the pages: filters without a reload, updates for new generations, and tooltips.
// Every page works without it.
'use strict';
(() => {
  const root = document.documentElement;
  root.classList.add('live');

  // ---- Parts of the page are fetched again; scroll position, focus, folds and typed text are preserved.

  let latest = 0;
  /** Returns whether the parts were replaced; nothing where a later call took over. */
  async function refresh(address, parts) {
    const turn = ++latest;
    const panels = document.getElementById('panels');
    panels?.setAttribute('aria-busy', 'true');
    try {
      const response = await fetch(address, { headers: { accept: 'text/html' }, credentials: 'same-origin' });
      if (response.redirected && new URL(response.url).pathname !== new URL(address, location.href).pathname) return location.assign(response.url);
      const text = await response.text();
      if (turn !== latest) return;
      if (!response.ok) return false;
      const page = new DOMParser().parseFromString(text, 'text/html');
      const pointed = document.querySelector('.tip') && pointer;
      for (const id of parts) swap(id, page);
      document.body.dataset.generation = page.body.dataset.generation;
      if (page.body.dataset.dashboards) document.body.dataset.dashboards = page.body.dataset.dashboards;
      document.title = page.title;
      charts();
      // The figures under the pointer stay there, as they are now.
      if (pointed) document.elementFromPoint(pointed.clientX, pointed.clientY)?.dispatchEvent(new PointerEvent('pointermove', { ...pointed, bubbles: true }));
      return true;
    } catch {
      // The network is unavailable: the current content stays.
      return turn === latest ? false : undefined;
    } finally {
      if (turn === latest) document.getElementById('panels')?.removeAttribute('aria-busy');
    }
  }

  let pointer;
  addEventListener('pointermove', ({ clientX, clientY, pointerType }) => { pointer = { clientX, clientY, pointerType }; }, { passive: true });

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

  // ---- Filters: a change takes effect immediately and updates the address.

  function addressOf(form) {
    const query = new URLSearchParams();
    // A preset says both ends of its range.
    const said = [...form.querySelectorAll('[data-range] select')].filter((select) => select.value !== 'custom').map((select) => select.name);
    const fields = new FormData(form);
    // Where there is a default, nothing is a selection of its own.
    const emptied = [...form.querySelectorAll('[data-empty]')].map((field) => field.name);
    const counts = (name, value) => value !== '' || (emptied.includes(name) && fields.getAll(name).every((one) => one === ''));
    for (const [name, value] of fields) if (counts(name, value) && !said.some((range) => name === range + '_from' || name === range + '_to')) query.append(name, value);
    const text = query.toString();
    return form.getAttribute('action') + (text ? '?' + text : '');
  }

  const here = () => location.pathname + location.search;
  let shown = here();

  function show(form) {
    open(addressOf(form));
  }

  /** Shows a selection. Where that fails, the former one stays: in the panels, in the form and in the address. */
  async function open(address) {
    const before = shown;
    history.pushState(null, '', address);
    shown = here();
    const done = await refresh(address, ['tabs', 'filters', 'sections', 'panels', 'freshness', 'print-facts', 'page-tools']);
    if (done === undefined) return;
    document.getElementById('failed')?.remove();
    removeEventListener('online', again);
    if (done) return;
    history.replaceState(null, '', before);
    shown = before;
    document.getElementById('filters')?.reset();
    wanted = address;
    const notice = Object.assign(document.createElement('p'), { id: 'failed', className: 'notice' });
    notice.dataset.kind = 'bad';
    notice.setAttribute('role', 'alert');
    notice.append(navigator.onLine ? 'Your selection could not be loaded; the previous one is still shown. ' : 'You are offline: the previous selection is still shown, and yours is loaded when you are back online. ');
    const retry = Object.assign(document.createElement('button'), { type: 'button', className: 'link', textContent: 'Try again' });
    retry.addEventListener('click', again);
    notice.append(retry);
    document.getElementById('panels')?.before(notice);
    addEventListener('online', again, { once: true });
  }
  let wanted;
  function again() { open(wanted); }

  let typing;
  document.addEventListener('input', (event) => {
    const form = event.target.closest?.('[data-live-form]');
    if (!form || event.target.type !== 'search') return;
    if ('options' in event.target.dataset) {
      const wanted = event.target.value.trim().toLowerCase();
      for (const option of event.target.closest('fieldset').querySelectorAll('label')) option.hidden = !option.textContent.toLowerCase().includes(wanted);
      return;
    }
    clearTimeout(typing);
    typing = setTimeout(() => show(form), 350);
  });
  document.addEventListener('change', (event) => {
    const form = event.target.closest?.('[data-live-form]');
    if (!form || event.target.type === 'search') return;
    const range = event.target.matches('[data-range] input') && event.target.closest('[data-range]').querySelector('select');
    if (range) range.value = 'custom';
    show(form);
  });
  document.addEventListener('submit', (event) => {
    if (event.target.matches('[data-live-form]')) { event.preventDefault(); show(event.target); }
    // A second click would send the form again, and the browser would discard the first response.
    if (event.target.matches('[data-once]')) {
      const buttons = event.target.querySelectorAll('button');
      for (const button of buttons) button.disabled = true;
      addEventListener('pageshow', () => { for (const button of buttons) button.disabled = false; }, { once: true });
    }
  });
  // All options, or those that were searched for; or none of them.
  document.addEventListener('click', (event) => {
    const button = event.target.closest?.('[data-check]');
    if (!button) return;
    for (const option of button.closest('fieldset').querySelectorAll('label:not([hidden]) input')) option.checked = button.dataset.check === 'all';
    show(button.closest('form'));
  });
  // Back and forward; going to a place in the page fires the same event, and changes nothing.
  addEventListener('popstate', () => { if (here() !== shown) location.reload(); });
  document.addEventListener('click', (event) => {
    const tab = event.target.closest?.('#tabs a');
    if (!tab || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    open(tab.getAttribute('href'));
  });
  // Which panels a filter changes.
  for (const [type, isOver] of [['focusin', true], ['focusout', false], ['pointerover', true], ['pointerout', false]]) {
    document.addEventListener(type, (event) => {
      const name = event.target.closest?.('[data-filter]')?.dataset.filter;
      if (!name) return;
      const all = document.querySelectorAll('#panels > .panel');
      const touched = [...all].filter((panel) => panel.dataset.filters?.split(' ').includes(name));
      // Where it changes all of them, there is nothing to tell.
      for (const panel of touched) panel.classList.toggle('touched', isOver && touched.length < all.length);
    });
  }
  document.addEventListener('click', (event) => {
    for (const fold of document.querySelectorAll('.choice[open], .menu[open]')) if (!fold.contains(event.target)) fold.open = false;
    const copied = event.target.closest?.('[data-copy]');
    if (copied && navigator.clipboard) { event.preventDefault(); copy(copied); }
  });

  // Values are suggested for the chosen column only.
  function suggest() {
    const [column, list] = [document.getElementById('filter-column'), document.getElementById('filter-values')];
    if (!column || !list) return;
    const all = [...list.children];
    const narrow = () => list.replaceChildren(...all.filter((option) => option.dataset.column === column.value));
    for (const option of all) option.removeAttribute('label');
    column.addEventListener('change', narrow);
    narrow();
  }
  suggest();

  /** Copies a link's address instead of following it, and confirms this in its place. */
  async function copy(link) {
    const words = link.textContent;
    link.setAttribute('aria-live', 'polite');
    try {
      await navigator.clipboard.writeText(new URL(link.getAttribute('href'), location.href).href);
      link.textContent = link.dataset.copy;
      setTimeout(() => { link.textContent = words; }, 2500);
    } catch {
      location.assign(link.href);
    }
  }

  document.addEventListener('click', (event) => { if (event.target.closest?.('[data-print]')) print(); });

  // A text on the page, such as a new key.
  document.addEventListener('click', async (event) => {
    const button = event.target.closest?.('[data-copy-text]');
    if (!button || !navigator.clipboard) return;
    const words = button.textContent;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copyText).textContent);
    button.setAttribute('aria-live', 'polite');
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = words; }, 2500);
  });

  // ---- Search and shortcuts.

  const searchLink = () => document.querySelector('[data-search]');

  function openDialog(label, ...content) {
    const dialog = Object.assign(document.createElement('dialog'), { className: 'overlay' });
    dialog.setAttribute('aria-label', label);
    dialog.append(...content);
    dialog.addEventListener('close', () => dialog.remove());
    dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
    document.body.append(dialog);
    dialog.showModal();
    return dialog;
  }

  function openSearch() {
    const own = document.getElementById('search');
    if (own) return own.focus();
    const input = Object.assign(document.createElement('input'), { type: 'search', placeholder: 'Search dashboards, panels, tables and columns', autocomplete: 'off', maxLength: 200 });
    input.setAttribute('aria-label', 'Search');
    const results = document.createElement('div');
    const dialog = openDialog('Search', input, results);
    let timer, turn = 0;
    input.addEventListener('input', () => {
      clearTimeout(timer);
      timer = setTimeout(async () => {
        const mine = ++turn;
        const found = await fetch('/search?q=' + encodeURIComponent(input.value)).then((response) => response.text()).catch(() => '');
        if (mine !== turn) return;
        const part = new DOMParser().parseFromString(found, 'text/html').getElementById('results');
        results.replaceChildren(...(part ? [document.importNode(part, true)] : []));
      }, 150);
    });
    dialog.addEventListener('keydown', (event) => {
      const links = [...results.querySelectorAll('a')];
      const at = links.indexOf(document.activeElement);
      if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
        event.preventDefault();
        const next = at + (event.key === 'ArrowDown' ? 1 : -1);
        (links[next] ?? (next < 0 ? input : links.at(-1)))?.focus();
      } else if (event.key === 'Enter' && at < 0 && links.length) links[0].click();
    });
    // A place on the same page is gone to without leaving it.
    dialog.addEventListener('click', (event) => { if (event.target.closest('a')) dialog.close(); });
  }

  function openShortcuts() {
    const list = document.createElement('dl');
    for (const [keys, what] of [['/ or Ctrl K', 'Search'], ['g h', 'Home'], ['g d', 'Dashboards'], ['g t', 'Tables'], ['?', 'This list'], ['Esc', 'Close']]) {
      list.append(Object.assign(document.createElement('dt'), { textContent: keys }), Object.assign(document.createElement('dd'), { textContent: what }));
    }
    openDialog('Keyboard shortcuts', Object.assign(document.createElement('h2'), { textContent: 'Keyboard shortcuts' }), list);
  }

  document.addEventListener('click', (event) => {
    if (!event.target.closest?.('[data-search]') || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openSearch();
  });
  let leader = 0;
  document.addEventListener('keydown', (event) => {
    if (!searchLink() || event.defaultPrevented || document.querySelector('dialog[open]')) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') { event.preventDefault(); return openSearch(); }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.('input, select, textarea, [contenteditable]')) return;
    const place = Date.now() - leader < 1000 && { h: '/home', d: '/dashboard/', t: '/tables' }[event.key];
    leader = event.key === 'g' ? Date.now() : 0;
    if (place) location.assign(place);
    else if (event.key === '/') { event.preventDefault(); openSearch(); }
    else if (event.key === '?') openShortcuts();
  });

  document.addEventListener('keydown', (event) => {
    const fold = event.key === 'Escape' && event.target.closest?.('.choice[open], .menu[open]');
    if (fold) { fold.open = false; fold.querySelector('summary').focus(); }
  });

  // Read aloud, and shown for a moment. The region exists before its text, or it would not be read.
  const region = Object.assign(document.createElement('p'), { className: 'toast' });
  region.setAttribute('role', 'status');
  document.body.append(region);
  let shownFor;
  function announce(text) {
    region.textContent = text;
    clearTimeout(shownFor);
    shownFor = setTimeout(() => { region.textContent = ''; }, 6000);
  }

  // ---- The next generation: pages with data fetch it, and every page shows its age.

  // Only while the page is visible: browsers limit the connections to a site, and background tabs would use them up.
  let events;
  function listen() {
    if (document.hidden || events) return;
    events = new EventSource('/events');
    events.addEventListener('generation', (event) => {
      if (event.data === document.body.dataset.generation) return;
      if (!document.body.dataset.generation) return location.reload();
      // Years that have arrived can be chosen, unless somebody is just choosing.
      const chosen = document.getElementById('filters')?.contains(document.activeElement) ? [] : ['filters'];
      refresh(location.href, [...chosen, 'sections', 'panels', 'freshness', 'print-facts']).then((done) => { if (done) announce('Updated just now'); });
    });
    // The author of the dashboards has saved a file.
    events.addEventListener('dashboards', async (event) => {
      if (event.data === document.body.dataset.dashboards) return;
      // It may have another address now.
      if (await refresh(location.href, ['main']) === false) location.assign('/');
    });
    // An export has confirmed the same data, so its age is reset.
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

  // ---- Charts: tooltips for the pointer and the arrow keys.

  const SVG = 'http://www.w3.org/2000/svg';

  /** Returns the visible drawing: the one whose width fits the panel. */
  const drawingOf = (plot) => [...plot.querySelectorAll('svg')].find((svg) => svg.clientWidth > 0) ?? plot.querySelector('svg');

  /** Returns the unit of a column: the right axis has a separate unit. */
  const unitOf = (head, unit) => (head.dataset.unit == null ? unit : head.dataset.unit && ' ' + head.dataset.unit);

  /** Returns the targets of a drawing: position, heading, and lines of the tooltip. */
  function stops(plot, svg) {
    const table = document.getElementById(plot.dataset.chart + '-figures');
    if (!table) return [];
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows];
    const unit = plot.dataset.unit ? ' ' + plot.dataset.unit : '';
    // The marks of a map, in the order of the table.
    const marks = [...svg.querySelectorAll('[data-x]')];
    if (marks.length) {
      return marks.map((mark, at) => ({
        x: +mark.dataset.x,
        y: +mark.dataset.y,
        mark,
        href: rows[at].querySelector('a')?.href,
        heading: rows[at].cells[0].textContent,
        lines: heads.slice(1).flatMap((head, column) => 'quiet' in head.dataset ? [] : [{ name: head.textContent, value: rows[at].cells[column + 1].textContent + unitOf(head, '') }]),
      }));
    }
    const dots = [...svg.querySelectorAll('.dots circle')];
    if (dots.length) {
      return dots.map((dot, at) => ({
        x: +dot.getAttribute('cx'),
        y: +dot.getAttribute('cy'),
        href: rows[at].querySelector('a')?.href,
        heading: rows[at].cells[0].textContent,
        lines: heads.slice(1).map((head, column) => ({ name: head.textContent, value: rows[at].cells[column + 1].textContent + (column === 1 ? unit : '') })),
      }));
    }
    if (!plot.dataset.places) return [];
    if (plot.dataset.order === 'newest') rows.reverse();
    const [from, to] = [+svg.dataset.from, +svg.dataset.to];
    const places = plot.dataset.places.split(' ').map((place) => from + (to - from) * place / 1000);
    const horizontal = 'horizontal' in plot.dataset;
    return rows.map((row, at) => ({
      x: horizontal ? null : places[at],
      y: horizontal ? places[at] : null,
      href: row.querySelector('a')?.href,
      heading: row.cells[0].textContent,
      lines: [...row.cells].slice(1).flatMap((cell, column) => cell.textContent === '' ? []
        : [{ name: heads[column + 1].textContent, color: heads[column + 1].dataset.color, value: cell.textContent + unitOf(heads[column + 1], unit) }]),
    }));
  }

  /** Returns the distance of a place from a mark of a map, in pixels: only the country below the pointer and dots close to it are meant. */
  function distance({ x, y, mark }, left, top, scale) {
    const away = Math.hypot(x - left, y - top) * scale;
    if (!mark.matches('.spot')) {
      // Small countries are drawn too coarsely to be hit.
      if (away <= 3) return away / 1000;
      return mark.isPointInFill(new DOMPoint(left, top)) ? 0.1 : Infinity;
    }
    const beyond = away - mark.getAttribute('stroke-width') / 2;
    // Of dots over one another, the one with the closest middle.
    if (beyond <= 0) return away / 1000;
    return away <= 24 ? beyond : Infinity;
  }

  // ---- Tables: a column's title sorts them, where all rows are shown.

  function sortable(table) {
    table.dataset.ready = '';
    const [body] = table.tBodies;
    const delivered = [...body.rows];
    for (const head of table.querySelectorAll('th[data-ranks]')) {
      const ranks = head.dataset.ranks.split(' ').map((rank) => (rank === '-' ? null : +rank));
      const button = Object.assign(document.createElement('button'), { type: 'button', className: 'sort' });
      button.append(...head.childNodes);
      head.append(button);
      // Figures begin with the largest, names with the first; the third click restores the order.
      const turns = head.matches('.right') ? ['descending', 'ascending'] : ['ascending', 'descending'];
      button.addEventListener('click', () => {
        const turn = turns[turns.indexOf(head.getAttribute('aria-sort')) + 1];
        for (const other of table.querySelectorAll('[aria-sort]')) other.removeAttribute('aria-sort');
        let order = delivered.map((_, row) => row);
        if (turn) {
          head.setAttribute('aria-sort', turn);
          const way = turn === 'ascending' ? 1 : -1;
          order.sort((one, other) => (ranks[one] == null) - (ranks[other] == null) || way * (ranks[one] - ranks[other]));
        }
        body.append(...order.map((row) => delivered[row]));
      });
    }
  }

  function charts() {
    for (const table of document.querySelectorAll('.grid:not([data-ready]):has([data-ranks])')) sortable(table);
    for (const area of document.querySelectorAll('.scroll:not([data-ready])')) edges(area);
    for (const plot of document.querySelectorAll('.plot:not([data-ready])')) {
      plot.dataset.ready = '';
      if (!stops(plot, drawingOf(plot)).length) continue;
      plot.tabIndex = 0;
      plot.setAttribute('role', 'group');
      plot.setAttribute('aria-label', plot.dataset.title + '. Arrow keys read the figures.');
      let at = -1, tip, cursor, status, drawn, all;

      // A window of a different width shows a different drawing.
      const current = () => {
        const svg = drawingOf(plot);
        if (svg !== drawn) [drawn, all] = [svg, stops(plot, svg)];
        return svg;
      };
      const hide = () => { tip?.remove(); cursor?.remove(); tip = cursor = null; };
      const show = (place, aloud) => {
        const svg = current();
        const box = svg.viewBox.baseVal;
        at = place;
        hide();
        const stop = all[place];
        const scale = svg.clientWidth / box.width;
        const isDot = stop.x != null && stop.y != null;
        const isArea = stop.mark && !stop.mark.matches('.spot');
        cursor = isArea ? stop.mark.cloneNode() : document.createElementNS(SVG, isDot ? 'circle' : 'line');
        cursor.setAttribute('class', 'cursor');
        if (isArea) delete cursor.dataset.x;
        const set = (values) => Object.entries(values).forEach(([name, value]) => cursor.setAttribute(name, value));
        if (isArea) set({ fill: 'none' });
        else if (isDot) set({ cx: stop.x, cy: stop.y, r: 8 / (stop.mark ? scale : 1), fill: 'none' });
        else if (stop.x != null) set({ x1: stop.x, x2: stop.x, y1: 8, y2: svg.dataset.bottom });
        else set({ y1: stop.y, y2: stop.y, x1: 0, x2: box.width });
        svg.append(cursor);
        tip = document.createElement('div');
        tip.className = 'tip';
        tip.setAttribute('aria-hidden', 'true');
        const heading = document.createElement('b');
        heading.textContent = stop.heading;
        tip.append(heading);
        for (const { name, color, value } of stop.lines.slice(0, 12)) {
          const line = document.createElement('span');
          const words = document.createElement('span');
          if (color) words.append(Object.assign(document.createElement('i'), { className: 'swatch ' + color }));
          words.append(name);
          line.append(words, Object.assign(document.createElement('em'), { textContent: value }));
          tip.append(line);
        }
        if (stop.lines.length > 12) tip.append(Object.assign(document.createElement('span'), { textContent: 'and ' + (stop.lines.length - 12) + ' more' }));
        plot.append(tip);
        const left = (stop.x ?? box.width / 2) * scale, top = (stop.y ?? 16) * scale;
        const beyond = left + tip.offsetWidth + 24 > plot.clientWidth ? left - tip.offsetWidth - 12 : left + 12;
        tip.style.left = Math.max(0, Math.min(beyond, plot.clientWidth - tip.offsetWidth)) + 'px';
        // Below a bar's row, so that it does not cover the bar.
        const below = stop.x == null ? top + 14 : top;
        tip.style.top = Math.max(0, Math.min(below, Math.max(plot.clientHeight - tip.offsetHeight, stop.x == null ? below : 0))) + 'px';
        if (aloud) {
          status ??= plot.appendChild(Object.assign(document.createElement('p'), { className: 'unseen' }));
          status.setAttribute('role', 'status');
          status.textContent = stop.heading + (stop.lines.length ? ': ' + stop.lines.map((line) => line.name + ' ' + line.value).join(', ') : '');
        }
      };

      const point = (event) => {
        const svg = current();
        const box = svg.viewBox.baseVal;
        const area = svg.getBoundingClientRect();
        const [x, y] = [(event.clientX - area.left) / area.width * box.width, (event.clientY - area.top) / area.height * box.height];
        const far = (stop) => stop.mark ? distance(stop, x, y, area.width / box.width) : Math.hypot(stop.x == null ? 0 : stop.x - x, stop.y == null ? 0 : stop.y - y);
        let nearest = 0;
        all.forEach((stop, index) => { if (far(stop) < far(all[nearest])) nearest = index; });
        if (far(all[nearest]) === Infinity) return hide();
        if (nearest !== at || !tip) show(nearest, false);
      };
      plot.addEventListener('pointermove', point);
      plot.addEventListener('pointerdown', point);
      // With a finger, the first tap shows the figures and the second follows the link.
      let seen = -1;
      plot.addEventListener('click', (event) => {
        if (event.pointerType === 'touch' && seen !== at && event.target.closest('a')) event.preventDefault();
        seen = at;
      });
      plot.addEventListener('pointerleave', (event) => { if (event.pointerType === 'mouse') hide(); });
      plot.addEventListener('blur', hide);
      plot.addEventListener('keydown', (event) => {
        current();
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (event.key === 'Escape') return hide();
        if (event.key === 'Enter' && event.target === plot && all[at]?.href) return location.assign(all[at].href);
        if (event.key === 'Home') show(0, true);
        else if (event.key === 'End') show(all.length - 1, true);
        else if (step) show(at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, at + step)), true);
        else return;
        event.preventDefault();
      });
    }
  }

  /** Marks the edges of scrollable content beyond which there is more; a heatmap over time starts at the newest. */
  function edges(area) {
    area.dataset.ready = '';
    const mark = () => {
      const more = [];
      if (area.scrollLeft > 1) more.push('left');
      if (area.scrollLeft + area.clientWidth < area.scrollWidth - 1) more.push('right');
      if (area.scrollTop + area.clientHeight < area.scrollHeight - 1) more.push('down');
      area.dataset.more = more.join(' ');
    };
    if (area.querySelector(':scope > [data-end]')) area.scrollLeft = area.scrollWidth;
    area.addEventListener('scroll', mark, { passive: true });
    if ('ResizeObserver' in window) new ResizeObserver(mark).observe(area);
    mark();
  }
  charts();
})();
