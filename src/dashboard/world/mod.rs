//! The countries of the world: their codes, names and outlines, and the projections of maps.
//!
//! `geometry.json` is Natural Earth at 1:110 million, converted by `convert.mjs`. Borders are arcs
//! that neighbors share, so that they meet wherever they are rounded.

use std::{collections::HashMap, sync::LazyLock};

use serde::{Deserialize, Serialize};

/// A position in degrees: longitude to the east, latitude to the north.
pub type Position = (f64, f64);

/// A country or territory of ISO 3166, or Kosovo.
#[derive(Debug, Clone, PartialEq)]
pub struct Country {
    /// The alpha-2 code.
    pub two: &'static str,
    /// The alpha-3 code.
    pub three: &'static str,
    /// The name that is shown.
    pub name: &'static str,
    /// Its outlines, where the lakes and countries within them are holes; empty if it is too small
    /// to be drawn.
    pub rings: Vec<Vec<Position>>,
    /// The middle of a country without outlines.
    pub spot: Option<Position>,
    names: Vec<&'static str>,
}

#[derive(Deserialize)]
struct RawGeometry {
    /// Units in a degree.
    units: f64,
    /// A position, and the distance of each further one from the previous.
    arcs: Vec<Vec<i32>>,
    #[serde(borrow)]
    countries: Vec<RawCountry<'static>>,
}

#[derive(Deserialize)]
struct RawCountry<'a> {
    two: &'a str,
    three: &'a str,
    names: Vec<&'a str>,
    /// Arcs by their number; `!number` is one in the opposite direction.
    rings: Vec<Vec<i64>>,
    spot: Option<[f64; 2]>,
}

static COUNTRIES: LazyLock<Vec<Country>> = LazyLock::new(|| {
    // Part of the program; the tests read it.
    serde_json::from_str(include_str!("geometry.json")).map(assemble).unwrap_or_default()
});

static BY_KEY: LazyLock<HashMap<String, usize>> = LazyLock::new(|| {
    let keys = |(at, country): (usize, &Country)| {
        let codes = [country.two, country.three].map(str::to_lowercase);
        let names = country.names.iter().map(|name| normalized(name));
        codes.into_iter().chain(names).map(|key| (key, at)).collect::<Vec<_>>()
    };
    COUNTRIES.iter().enumerate().flat_map(keys).collect()
});

fn assemble(raw: RawGeometry) -> Vec<Country> {
    let arc = |deltas: &Vec<i32>| {
        let (mut x, mut y) = (0, 0);
        let next = |delta: &[i32]| {
            (x, y) = (x + delta[0], y + delta[1]);
            (f64::from(x) / raw.units, f64::from(y) / raw.units)
        };
        deltas.chunks_exact(2).map(next).collect::<Vec<Position>>()
    };
    let arcs: Vec<Vec<Position>> = raw.arcs.iter().map(arc).collect();
    let ring = |numbers: Vec<i64>| {
        let mut ring = Vec::new();
        for number in numbers {
            let is_backward = number < 0;
            let number = if is_backward { !number } else { number };
            let found = usize::try_from(number).ok().and_then(|number| arcs.get(number));
            let points = found.map(Vec::as_slice).unwrap_or_default();
            if is_backward {
                ring.extend(points.iter().rev());
            } else {
                ring.extend(points);
            }
        }
        ring
    };
    let country = |country: RawCountry<'static>| Country {
        two: country.two,
        three: country.three,
        name: country.names.first().copied().unwrap_or(country.three),
        rings: country.rings.into_iter().map(ring).flat_map(|ring| cut(&ring)).collect(),
        spot: country.spot.map(|[x, y]| (x / raw.units, y / raw.units)),
        names: country.names,
    };
    raw.countries.into_iter().map(country).collect()
}

/// Cuts a ring that crosses the 180th meridian into the parts on both sides of it; otherwise lines
/// would lead across the whole map.
fn cut(ring: &[Position]) -> Vec<Vec<Position>> {
    let mut turns = 0.0;
    let mut unrolled = Vec::<Position>::with_capacity(ring.len());
    for &(x, y) in ring {
        if let Some(&(before, _)) = unrolled.last() {
            let step = x + turns - before;
            if step.abs() > 180.0 {
                turns -= 360.0 * step.signum();
            }
        }
        unrolled.push((x + turns, y));
    }
    let parts = [-360.0, 0.0, 360.0].map(|shift| {
        let moved: Vec<Position> = unrolled.iter().map(|(x, y)| (x + shift, *y)).collect();
        clip(&clip(&moved, along_x, 180.0, 1.0), along_x, -180.0, -1.0)
    });
    parts.into_iter().filter(|part| part.len() > 2).collect()
}

fn along_x((x, _): Position) -> f64 {
    x
}

fn along_y((_, y): Position) -> f64 {
    y
}

/// Returns the part of a ring on one side of a line: below `limit` if `side` is positive.
fn clip(ring: &[Position], along: fn(Position) -> f64, limit: f64, side: f64) -> Vec<Position> {
    let is_inside = |position: Position| (limit - along(position)) * side >= 0.0;
    let mut out = Vec::with_capacity(ring.len());
    for (&one, &next) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        if is_inside(one) {
            out.push(one);
        }
        if is_inside(one) != is_inside(next) {
            let share = (limit - along(one)) / (along(next) - along(one));
            out.push((one.0 + share * (next.0 - one.0), one.1 + share * (next.1 - one.1)));
        }
    }
    // A ring that only touches the line has no area on its other side.
    let is_flat = out.iter().all(|position| (along(*position) - limit).abs() < 1e-9);
    if is_flat { Vec::new() } else { out }
}

/// Returns every country, by alpha-3 code.
#[must_use]
pub fn countries() -> &'static [Country] {
    &COUNTRIES
}

/// Returns the country with an alpha-2 or alpha-3 code or an English name.
#[must_use]
pub fn find_country(code_or_name: &str) -> Option<&'static Country> {
    let key = code_or_name.trim().to_lowercase();
    let found = BY_KEY.get(&key).or_else(|| BY_KEY.get(&normalized(&key)));
    found.and_then(|at| COUNTRIES.get(*at))
}

/// Returns the letters of a name, in lower case and without accents, since sources differ in them.
fn normalized(name: &str) -> String {
    let plain = |letter: char| match letter {
        'á' | 'à' | 'â' | 'ã' | 'ä' | 'å' => 'a',
        'ç' => 'c',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ñ' => 'n',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        other => other,
    };
    let letters =
        name.chars().flat_map(char::to_lowercase).filter(|letter| letter.is_alphanumeric());
    letters.map(plain).collect()
}

impl Country {
    /// Returns its outline with the largest extent: that of the mainland.
    #[must_use]
    pub fn mainland(&self) -> Option<&[Position]> {
        let size = |ring: &[Position]| {
            let (west, south, east, north) = extent(ring.iter().copied());
            (east - west) * (north - south)
        };
        let largest = self.rings.iter().max_by(|one, other| size(one).total_cmp(&size(other)));
        largest.map(Vec::as_slice)
    }
}

/// Returns the smallest longitude and latitude, and the largest.
fn extent(positions: impl Iterator<Item = Position>) -> (f64, f64, f64, f64) {
    let empty = (f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY);
    positions.fold(empty, |(west, south, east, north), (x, y)| {
        (west.min(x), south.min(y), east.max(x), north.max(y))
    })
}

/// The part of the world that a map shows, in degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Frame {
    /// The western edge.
    pub west: f64,
    /// The southern edge.
    pub south: f64,
    /// The eastern edge.
    pub east: f64,
    /// The northern edge.
    pub north: f64,
}

/// A wider part of the world is shown as the whole world.
const MAX_PART: f64 = 150.0;
/// A smaller part has more detail than the outlines.
const MIN_PART: f64 = 12.0;
/// The ratio of width and height of a map of a part of the world.
const ASPECTS: (f64, f64) = (1.6, 2.2);

impl Frame {
    /// The world without Antarctica.
    pub const WORLD: Self = Self { west: -180.0, south: -57.0, east: 180.0, north: 84.0 };

    /// Returns the part of a ring that it shows, with a margin; empty if there is none.
    #[must_use]
    pub fn visible_part(&self, ring: &[Position]) -> Vec<Position> {
        if self.is_world() {
            return ring.to_vec();
        }
        let (x, y) = ((self.east - self.west) / 20.0, (self.north - self.south) / 20.0);
        let below = clip(ring, along_x, self.east + x, 1.0);
        let within = clip(&below, along_x, self.west - x, -1.0);
        clip(&clip(&within, along_y, self.north + y, 1.0), along_y, self.south - y, -1.0)
    }

    /// Returns the frame around positions: a part of the world if they are close to one another.
    #[must_use]
    pub fn around(positions: impl Iterator<Item = Position>) -> Self {
        let (west, south, east, north) = extent(positions);
        let (width, height) = (east - west, north - south);
        if !(width.is_finite() && width <= MAX_PART && height <= MAX_PART / 2.0) {
            return Self::WORLD;
        }
        let (x, y) = (f64::midpoint(west, east), f64::midpoint(south, north));
        let shrink = y.to_radians().cos().max(0.2);
        let mut height = (height * 1.25).max(MIN_PART / 2.0);
        let mut width = (width * 1.2).max(MIN_PART);
        width = width.max(height * ASPECTS.0 / shrink);
        height = height.max(width * shrink / ASPECTS.1);
        if width > MAX_PART {
            return Self::WORLD;
        }
        Self {
            west: x - width / 2.0,
            south: y - height / 2.0,
            east: x + width / 2.0,
            north: y + height / 2.0,
        }
    }

    fn is_world(&self) -> bool {
        *self == Self::WORLD
    }

    /// Returns the ratio of its width and height.
    #[must_use]
    pub fn aspect(&self) -> f64 {
        let (left, right, bottom, top) = self.plane();
        (right - left) / (top - bottom)
    }

    /// Returns where a position is drawn: from 0 at the western edge to 1 at the eastern one, and
    /// from 0 at the northern edge to 1 at the southern one. Outside of the frame it is beyond.
    #[must_use]
    pub fn project(&self, position: Position) -> (f64, f64) {
        let (left, right, bottom, top) = self.plane();
        let (x, y) = self.on_plane(position);
        ((x - left) / (right - left), (top - y) / (top - bottom))
    }

    /// Returns whether something within these positions may be visible.
    #[must_use]
    pub fn overlaps(&self, positions: &[Position]) -> bool {
        let (west, south, east, north) = extent(positions.iter().copied());
        west <= self.east && east >= self.west && south <= self.north && north >= self.south
    }

    /// Returns its edges on the plane: left, right, bottom and top.
    fn plane(&self) -> (f64, f64, f64, f64) {
        let middle = f64::midpoint(self.west, self.east);
        // The world is widest at the equator.
        let widest = if self.is_world() { 0.0 } else { self.south };
        let (left, _) = self.on_plane((self.west, widest));
        let (right, _) = self.on_plane((self.east, widest));
        let (_, bottom) = self.on_plane((middle, self.south));
        let (_, top) = self.on_plane((middle, self.north));
        (left, right, bottom, top)
    }

    /// Projects a position: the world as Equal Earth (Šavrič, Patterson, Jenny 2018), where areas
    /// are comparable; a part of it with equal distances along its middle.
    fn on_plane(&self, (longitude, latitude): Position) -> Position {
        const A: [f64; 4] = [1.340_264, -0.081_106, 0.000_893, 0.003_796];
        if !self.is_world() {
            let middle = f64::midpoint(self.south, self.north).to_radians();
            return (longitude * middle.cos().max(0.2), latitude);
        }
        let half_root = 3_f64.sqrt() / 2.0;
        let angle = (half_root * latitude.to_radians().sin()).asin();
        let squared = angle * angle;
        let sixth = squared.powi(3);
        let slope = A[0] + 3.0 * A[1] * squared + sixth * (7.0 * A[2] + 9.0 * A[3] * squared);
        let x = longitude.to_radians() * angle.cos() / (half_root * slope);
        let y = angle * (A[0] + A[1] * squared + sixth * (A[2] + A[3] * squared));
        (x, y)
    }
}

/// Returns a position within a ring, at its widest part, for labels and the keyboard.
#[must_use]
pub fn position_within(ring: &[Position]) -> Option<Position> {
    let (_, south, _, north) = extent(ring.iter().copied());
    let widest = |share: f64| {
        let y = south + (north - south) * share;
        let mut crossings = crossings(ring, y);
        crossings.sort_by(f64::total_cmp);
        let pairs = crossings.chunks_exact(2).map(|pair| (pair[1] - pair[0], pair));
        let (width, pair) = pairs.max_by(|one, other| one.0.total_cmp(&other.0))?;
        Some((width, (f64::midpoint(pair[0], pair[1]), y)))
    };
    let shares = [0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74].into_iter();
    let found = shares.filter_map(widest).max_by(|one, other| one.0.total_cmp(&other.0));
    found.map(|(_, position)| position)
}

/// Returns where a ring crosses a height.
#[must_use]
pub fn crossings(ring: &[Position], y: f64) -> Vec<f64> {
    let next = ring.iter().cycle().skip(1);
    let edges = ring.iter().zip(next).take(ring.len());
    edges
        .filter(|((_, from), (_, to))| (*from <= y) != (*to <= y))
        .map(|((x1, y1), (x2, y2))| x1 + (y - y1) / (y2 - y1) * (x2 - x1))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_found_by_both_codes_and_by_the_names_in_use() {
        let code = |text: &str| find_country(text).map(|country| country.three);
        for text in ["BR", "BRA", "br", " Brazil "] {
            assert_eq!(code(text), Some("BRA"), "{text}");
        }
        assert_eq!(code("Côte d`Ivoire"), Some("CIV"));
        assert_eq!(code("Cote d'Ivoire"), Some("CIV"));
        assert_eq!(code("Congo (Kinshasa)"), Some("COD"));
        assert_eq!(code("Congo"), Some("COG"));
        assert_eq!(code("Korea, South"), Some("KOR"));
        assert_eq!(code("SGP"), Some("SGP"));
        assert_eq!(code("European Union"), None);
        assert_eq!(code(""), None);
    }

    #[test]
    fn every_country_is_on_the_map_and_its_mark_lies_within_it() {
        assert_eq!(countries().len(), 236);
        for country in countries() {
            assert_eq!((country.two.len(), country.three.len()), (2, 3));
            let Some(ring) = country.mainland() else {
                assert!(country.spot.is_some(), "{}", country.name);
                continue;
            };
            let (x, y) = position_within(ring).unwrap();
            let left = crossings(ring, y).into_iter().filter(|crossing| *crossing < x).count();
            assert_eq!(left % 2, 1, "{}", country.name);
            assert!(ring.iter().all(|(x, y)| x.abs() <= 180.0 && y.abs() <= 90.0));
            for ring in &country.rings {
                let across = ring.windows(2).find(|edge| (edge[0].0 - edge[1].0).abs() > 60.0);
                assert_eq!(across, None, "a line of {} leads across the map", country.name);
            }
        }
    }

    #[test]
    fn the_world_is_within_its_frame_and_positions_are_in_their_places() {
        let world = Frame::WORLD;
        assert!((1.9..2.4).contains(&world.aspect()), "{}", world.aspect());
        let (x, y) = world.project((0.0, 84.0));
        assert!((x - 0.5).abs() < 1e-9 && y.abs() < 1e-9);
        let (x, _) = world.project((180.0, 0.0));
        assert!((x - 1.0).abs() < 1e-9);
        // Equal areas: ten degrees at the equator are as large as ten degrees elsewhere, times the
        // cosine of the latitude.
        let area = |latitude: f64| {
            let (_, below) = world.project((0.0, latitude - 0.5));
            let (_, above) = world.project((0.0, latitude + 0.5));
            let (right, _) = world.project((1.0, latitude));
            (below - above) * (right - 0.5)
        };
        for latitude in [15.0_f64, 35.0, 60.0] {
            let expected = area(0.0) * latitude.to_radians().cos();
            assert!((area(latitude) / expected - 1.0).abs() < 1e-3, "{latitude}");
        }
    }

    #[test]
    fn positions_close_to_one_another_are_shown_larger() {
        let europe = Frame::around([(-9.1, 38.8), (16.6, 60.2)].into_iter());
        assert!(europe.west > -30.0 && europe.east < 45.0, "{europe:?}");
        assert!((ASPECTS.0 - 0.01..=ASPECTS.1 + 0.01).contains(&europe.aspect()));
        let (x, y) = europe.project((-9.1, 38.8));
        assert!((0.0..0.5).contains(&x) && (0.5..1.0).contains(&y));
        assert_eq!(Frame::around([(-100.0, 0.0), (120.0, 10.0)].into_iter()), Frame::WORLD);
        assert_eq!(Frame::around(std::iter::empty()), Frame::WORLD);
        let one = Frame::around([(10.0, 50.0)].into_iter());
        assert!(one.east - one.west >= MIN_PART);
    }
}
