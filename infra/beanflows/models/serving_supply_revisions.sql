MODEL (
  name serving.supply_revisions,
  kind FULL,
  description 'What each USDA release said of the newest seasons, by country and for the world, in thousand 60 kg bags: one row per release, season and country. Releases differ in the countries they cover. Source: USDA FAS PSD Online, public domain',
  column_descriptions (
    vintage = 'Release: its newest month of revision, YYYY-MM, or what the name of its file says. USDA PSD',
    country_name = 'FAS country name, in English; World is the sum of the countries. USDA PSD',
    market_year = 'Year in which the season begins: 2022 for 2022/23, whatever the label of the vintage. USDA PSD',
    season = 'The season, for example 2022/23. USDA PSD',
    production = 'Production as of this release, thousand 60 kg bags. USDA PSD attribute 028',
    domestic_consumption = 'Domestic consumption as of this release, thousand 60 kg bags. USDA PSD attribute 125',
    exports = 'Exports as of this release, thousand 60 kg bags. USDA PSD attribute 088',
    ending_stocks = 'Ending stocks as of this release, thousand 60 kg bags. USDA PSD attribute 176',
    production_before = 'Production as of the release before, thousand 60 kg bags; empty in the first. Derived from USDA PSD',
    is_newest = 'Whether it is the newest release. Derived from USDA PSD',
    is_forecast = 'Whether it is the newest season of its release, which USDA forecasts. Derived from USDA PSD'
  )
);
WITH figures AS (
  SELECT
    vintage,
    COALESCE(country_name, 'World') AS country_name,
    market_year,
    season,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Production'))::DOUBLE AS production,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Domestic Consumption'))::DOUBLE AS domestic_consumption,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Exports'))::DOUBLE AS exports,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Ending Stocks'))::DOUBLE AS ending_stocks,
    BOOL_AND(is_newest) AS is_newest
  FROM staging.psd
  WHERE market_year > (SELECT MAX(market_year) FROM staging.psd) - 6
  GROUP BY GROUPING SETS ((vintage, country_name, market_year, season), (vintage, market_year, season))
)
SELECT
  vintage,
  country_name,
  market_year,
  season,
  production,
  domestic_consumption,
  exports,
  ending_stocks,
  LAG(production) OVER (PARTITION BY country_name, market_year ORDER BY vintage) AS production_before,
  is_newest,
  (market_year = MAX(market_year) OVER (PARTITION BY vintage)) AS is_forecast
FROM figures
ORDER BY country_name, market_year, vintage
