// Converts Natural Earth's countries (1:110m, public domain) to geometry.json, from which maps are drawn.
//
//   npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz --one-top-level=atlas
//   npm pack i18n-iso-countries@7.14.0 && tar xzf i18n-iso-countries-7.14.0.tgz --one-top-level=codes
//   node convert.mjs atlas/package codes/package > geometry.json
//
// world-atlas has the geometry as TopoJSON with ISO's numeric codes, i18n-iso-countries the other codes and further names. Countries that are too small for 1:110m get the middle of
// their largest part from 1:50m. Northern Cyprus and Somaliland have no code of their own and belong to CY and SO, as in ISO 3166.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const [atlas, codes] = process.argv.slice(2);
const read = (folder, name) => JSON.parse(readFileSync(join(folder, name), 'utf8'));
const coarse = read(atlas, 'countries-110m.json');
const fine = read(atlas, 'countries-50m.json');
const english = read(codes, 'langs/en.json').countries;
/** Units in a degree. */
const UNITS = 20;
/** Names that are no country of ISO 3166, and the code to which they belong. */
const PARTS = { 'N. Cyprus': 'CY', Somaliland: 'SO', Kosovo: 'XK' };
/** The names that are shown, where neither package's first one is the usual one. */
const SHOWN = { CD: 'DR Congo', MK: 'North Macedonia', SZ: 'Eswatini', US: 'United States', VG: 'British Virgin Islands', VI: 'US Virgin Islands', XK: 'Kosovo' };
/** Names in use that neither package has. */
const MORE = { CD: ['Congo (Kinshasa)'], CG: ['Congo (Brazzaville)'], CZ: ['Czech Republic'], KP: ['Korea, North'], KR: ['Korea, South'], MM: ['Burma'], SZ: ['Swaziland'] };
/** Names that could mean another country. */
const AMBIGUOUS = { CD: ['Congo'] };

const byNumber = new Map(read(codes, 'codes.json').map(([two, three, number]) => [number, [two, three]]));
const countries = new Map([...byNumber.values(), ['XK', 'XKX']].map(([two, three]) => [two, { two, three, names: [], rings: [], spot: null }]));
const codeOf = ({ id, properties }) => PARTS[properties.name] ?? byNumber.get(id)?.[0];

/** Returns an arc in degrees. */
function degrees({ arcs, transform: { scale, translate } }, arc) {
  let [x, y] = [0, 0];
  return arcs[arc].map(([dx, dy]) => [(x += dx) * scale[0] + translate[0], (y += dy) * scale[1] + translate[1]]);
}

const polygons = (geometry) => (geometry.type === 'Polygon' ? [geometry.arcs] : geometry.type === 'MultiPolygon' ? geometry.arcs : []);

const used = new Map();
const arcs = [];
/** Returns the number of an arc in the output. */
function kept(arc) {
  const forward = arc < 0 ? ~arc : arc;
  if (!used.has(forward)) {
    const points = degrees(coarse, forward).map(([x, y]) => [Math.round(x * UNITS), Math.round(y * UNITS)]);
    const distinct = points.filter(([x, y], at) => at === 0 || x !== points[at - 1][0] || y !== points[at - 1][1]);
    used.set(forward, arcs.push(distinct.flatMap(([x, y], at) => (at === 0 ? [x, y] : [x - distinct[at - 1][0], y - distinct[at - 1][1]]))) - 1);
  }
  return arc < 0 ? ~used.get(forward) : used.get(forward);
}

for (const geometry of coarse.objects.countries.geometries) {
  const country = countries.get(codeOf(geometry));
  if (!country) throw new Error(`no code for ${geometry.properties.name}`);
  country.rings.push(...polygons(geometry).flat().map((ring) => ring.map(kept)));
  if (!(geometry.properties.name in PARTS)) country.names.push(geometry.properties.name);
}
for (const geometry of fine.objects.countries.geometries) {
  const country = countries.get(codeOf(geometry));
  if (!country) continue;
  if (!(geometry.properties.name in PARTS) && !country.names.length) country.names.push(geometry.properties.name);
  if (country.rings.length) continue;
  // The middle of the largest part's bounding box.
  const boxes = polygons(geometry).map(([outer]) => {
    const points = outer.flatMap((arc) => degrees(fine, arc < 0 ? ~arc : arc));
    const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
    return [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  });
  const size = ([west, east, south, north]) => (east - west) * (north - south);
  const [west, east, south, north] = boxes.reduce((one, other) => (size(other) > size(one) ? other : one));
  country.spot ??= [Math.round((west + east) / 2 * UNITS), Math.round((south + north) / 2 * UNITS)];
}
for (const country of countries.values()) {
  const more = [english[country.two] ?? [], MORE[country.two] ?? []].flat();
  // An abbreviated name is only an alias.
  const full = country.names.filter((name) => !/\.( |$)/.test(name));
  const names = [SHOWN[country.two] ?? [], full, more, country.names].flat().filter((name) => !AMBIGUOUS[country.two]?.includes(name));
  country.names = [...new Set(names)];
}
const rows = [...countries.values()]
  .filter((country) => country.rings.length || country.spot)
  .sort((one, other) => (one.three < other.three ? -1 : 1))
  .map(({ two, three, names, rings, spot }) => JSON.stringify({ two, three, names, rings, ...(spot && { spot }) }));
console.log(`{"source":"Natural Earth 1:110m (public domain) through world-atlas 2.0.2","units":${UNITS},\n"arcs":[\n${arcs.map((arc) => JSON.stringify(arc)).join(',\n')}\n],"countries":[\n${rows.join(',\n')}\n]}`);
