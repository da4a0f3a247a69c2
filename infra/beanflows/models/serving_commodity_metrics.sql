MODEL (
  name serving.commodity_metrics,
  kind FULL,
  description 'Coffee supply and demand by country and season, in thousand 60 kg bags of green bean equivalent, from the newest vintage that has landed. Source: USDA FAS PSD Online, public domain',
  column_descriptions (
    country_code = 'FAS country code of two characters (not ISO: VM is Vietnam, E4 is the European Union). USDA PSD',
    country_name = 'FAS country name, in English. USDA PSD',
    market_year = 'Year in which the season begins: 2022 for 2022/23, whatever the label of the vintage. USDA PSD',
    production = 'Total production: arabica, robusta and other, thousand 60 kg bags. USDA PSD attribute 028',
    arabica_production = 'Arabica production, thousand 60 kg bags. USDA PSD attribute 029',
    robusta_production = 'Robusta production, thousand 60 kg bags. USDA PSD attribute 053',
    imports = 'Total imports: green, roast and ground, and soluble, thousand 60 kg bags. USDA PSD attribute 057',
    exports = 'Total exports: green, roast and ground, and soluble, thousand 60 kg bags. USDA PSD attribute 088',
    domestic_consumption = 'Domestic consumption: roast and ground, and soluble, thousand 60 kg bags. USDA PSD attribute 125',
    ending_stocks = 'Stocks at the end of the season, thousand 60 kg bags. USDA PSD attribute 176',
    stock_to_use = 'Ending stocks / (domestic consumption + exports), a ratio (0.25 is three months of use); empty where use is zero. Derived from USDA PSD',
    season = 'The season, for example 2022/23. It begins in October, July or April, depending on the country. USDA PSD',
    is_forecast = 'Whether it is the newest season of the vintage, which USDA forecasts. Derived from USDA PSD',
    beginning_stocks = 'Stocks at the beginning of the season, thousand 60 kg bags. USDA PSD attribute 020',
    green_imports = 'Imports of green coffee, thousand 60 kg bags. USDA PSD attribute 058',
    roasted_imports = 'Imports of roast and ground coffee, thousand 60 kg bags of green bean equivalent (1.19 kg of green coffee for 1 kg). USDA PSD attribute 075',
    soluble_imports = 'Imports of soluble coffee, thousand 60 kg bags of green bean equivalent (2.6 kg of green coffee for 1 kg). USDA PSD attribute 082',
    green_exports = 'Exports of green coffee, thousand 60 kg bags. USDA PSD attribute 090',
    roasted_exports = 'Exports of roast and ground coffee, thousand 60 kg bags of green bean equivalent. USDA PSD attribute 107',
    soluble_exports = 'Exports of soluble coffee, thousand 60 kg bags of green bean equivalent. USDA PSD attribute 114',
    balance_gap = 'Beginning stocks + production + imports - domestic consumption - exports - ending stocks, thousand 60 kg bags: zero but for rounding. Derived from USDA PSD'
  )
);
WITH metrics AS (
  SELECT
    country_code,
    country_name,
    market_year,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Production'))::DECIMAL(18,3) AS production,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Arabica Production'))::DECIMAL(18,3) AS arabica_production,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Robusta Production'))::DECIMAL(18,3) AS robusta_production,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Imports'))::DECIMAL(18,3) AS imports,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Exports'))::DECIMAL(18,3) AS exports,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Domestic Consumption'))::DECIMAL(18,3) AS domestic_consumption,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Ending Stocks'))::DECIMAL(18,3) AS ending_stocks,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Ending Stocks')
      / NULLIF(SUM(thousand_bags) FILTER (WHERE attribute IN ('Domestic Consumption', 'Exports')), 0))::DOUBLE AS stock_to_use,
    season,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Beginning Stocks'))::DECIMAL(18,3) AS beginning_stocks,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Bean Imports'))::DECIMAL(18,3) AS green_imports,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Roast & Ground Imports'))::DECIMAL(18,3) AS roasted_imports,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Soluble Imports'))::DECIMAL(18,3) AS soluble_imports,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Bean Exports'))::DECIMAL(18,3) AS green_exports,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Roast & Ground Exports'))::DECIMAL(18,3) AS roasted_exports,
    (SUM(thousand_bags) FILTER (WHERE attribute = 'Soluble Exports'))::DECIMAL(18,3) AS soluble_exports
  FROM staging.psd
  WHERE is_newest
  GROUP BY country_code, country_name, market_year, season
)
SELECT
  country_code,
  country_name,
  market_year,
  production,
  arabica_production,
  robusta_production,
  imports,
  exports,
  domestic_consumption,
  ending_stocks,
  stock_to_use,
  season,
  (market_year = MAX(market_year) OVER ()) AS is_forecast,
  beginning_stocks,
  green_imports,
  roasted_imports,
  soluble_imports,
  green_exports,
  roasted_exports,
  soluble_exports,
  (beginning_stocks + production + imports - domestic_consumption - exports - ending_stocks)::DECIMAL(18,3) AS balance_gap
FROM metrics
ORDER BY country_code, market_year, country_name
