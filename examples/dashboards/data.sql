-- Generated, reproducible data of three dashboards: flights, countries of the world, and a shop.
CREATE SCHEMA serving;

CREATE TABLE serving.flights AS
WITH numbered AS (SELECT i, hash(i) % 1000 / 1000.0 AS luck FROM range(12000) t(i))
SELECT
  DATE '2023-01-01' + (i % 730)::INTEGER AS day,
  ['Air North', 'Blue Jet', 'City Wings', 'Delta Sun'][1 + (hash(i * 3) % 4)::BIGINT] AS airline,
  ['Amsterdam', 'Berlin', 'Dublin', 'Lisbon', 'Madrid', 'Oslo', 'Paris', 'Vienna'][1 + (hash(i * 7) % 8)::BIGINT] AS airport,
  round(4 + 60 * pow(luck, 4) + 6 * sin(2 * pi() * (i % 365) / 365.0) + 3 * (hash(i * 3) % 4), 1) AS delay_minutes,
  (90 + hash(i * 11) % 90)::INTEGER AS passengers,
  luck > 0.985 AS cancelled
FROM numbered;
COMMENT ON TABLE serving.flights IS 'One row a flight';

CREATE TABLE serving.airports AS
SELECT * FROM (VALUES
  ('Amsterdam', 4.76, 52.31, 'Netherlands'), ('Berlin', 13.50, 52.37, 'Germany'), ('Dublin', -6.27, 53.42, 'Ireland'),
  ('Lisbon', -9.13, 38.77, 'Portugal'), ('Madrid', -3.57, 40.47, 'Spain'), ('Oslo', 11.10, 60.20, 'Norway'),
  ('Paris', 2.55, 49.01, 'France'), ('Vienna', 16.57, 48.11, 'Austria')
) t(airport, longitude, latitude, country);

CREATE TABLE serving.world AS
WITH countries AS (
  SELECT * FROM (VALUES
    ('BRA', 'Brazil', 'Americas', 9.9, 175, 70.1), ('CAN', 'Canada', 'Americas', 38.0, 30.7, 79.2), ('MEX', 'Mexico', 'Americas', 9.2, 98, 74.4),
    ('USA', 'United States', 'Americas', 48.0, 282, 76.6), ('DEU', 'Germany', 'Europe', 36.0, 82, 77.9), ('FRA', 'France', 'Europe', 33.0, 60.9, 79.1),
    ('GBR', 'United Kingdom', 'Europe', 34.0, 58.9, 77.7), ('POL', 'Poland', 'Europe', 8.5, 38.3, 73.8), ('CHN', 'China', 'Asia', 2.2, 1263, 71.4),
    ('IDN', 'Indonesia', 'Asia', 2.0, 212, 65.8), ('IND', 'India', 'Asia', 0.8, 1057, 62.5), ('JPN', 'Japan', 'Asia', 33.0, 126.8, 81.1),
    ('VNM', 'Vietnam', 'Asia', 1.2, 79.0, 73.1), ('EGY', 'Egypt', 'Africa', 2.7, 71.4, 68.3), ('ETH', 'Ethiopia', 'Africa', 0.3, 67.0, 51.9),
    ('NGA', 'Nigeria', 'Africa', 1.6, 122, 46.6), ('ZAF', 'South Africa', 'Africa', 5.0, 46.8, 56.3), ('KEN', 'Kenya', 'Africa', 1.1, 30.9, 52.4)
  ) t(code, country, region, wealth, people, life)
)
SELECT
  code, country, region, year,
  round(wealth * pow(1.012 + 0.02 * (hash(code) % 100) / 100.0, year - 2000) * (1 + 0.02 * sin(year * 1.3 + wealth)), 2) AS gdp_per_head,
  round(people * pow(1.0 + 0.018 * (hash(code || 'p') % 100) / 100.0, year - 2000), 1) AS population,
  round(least(85, life + 0.28 * (year - 2000) * (1 + (80 - life) / 40.0)), 1) AS life_expectancy
FROM countries, range(2000, 2025) y(year);
COMMENT ON TABLE serving.world IS 'Thousand dollars, million people, years';

CREATE TABLE serving.orders AS
WITH numbered AS (SELECT i, DATE '2023-01-01' + (hash(i * 5) % 731)::INTEGER AS day FROM range(9000) t(i))
SELECT
  i AS order_id, day,
  ['Coffee', 'Tea', 'Cups', 'Filters', 'Grinders', 'Books', 'Gifts', 'Spices'][1 + least(7, ((hash(i * 13) % 100) * (hash(i * 17) % 100) / 1250)::BIGINT)] AS product,
  ['North', 'South', 'East', 'West', NULL][1 + (hash(i * 19) % 5)::BIGINT] AS region,
  ['North One', 'North Two', 'South One', 'South Two', 'East One', 'West One'][1 + (hash(i * 19) % 5 + hash(i * 23) % 2)::BIGINT] AS shop,
  round(8 + (hash(i * 29) % 1000) / 12.0 + 20.0 * (day - DATE '2023-01-01') / 731, 2)::DECIMAL(10, 2) AS amount
FROM numbered;

CREATE TABLE serving.steps AS SELECT * FROM (VALUES (1, 'Visited', 48200), (2, 'Put in the cart', 17350), (3, 'Paid', 9000), (4, 'Came back', 3120)) t(place, step, visitors);
CREATE TABLE serving.bridge AS SELECT * FROM (VALUES (1, 'Revenue 2023', 412.0), (2, 'New customers', 96.5), (3, 'Lost customers', -58.0), (4, 'Prices', 31.2), (5, 'Currency', -9.4)) t(place, cause, thousand);
