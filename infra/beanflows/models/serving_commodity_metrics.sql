MODEL (
  name serving.commodity_metrics,
  kind FULL,
  description 'Coffee supply and demand by country and market year, in thousand 60 kg bags of green bean equivalent. Source: USDA FAS PSD Online, public domain',
  column_descriptions (
    country_code = 'FAS country code of two characters (not ISO: VM is Vietnam, E4 is the European Union). USDA PSD',
    country_name = 'FAS country name, in English. USDA PSD',
    market_year = 'USDA market year label. Coffee years differ by country (October, July or April starts). USDA PSD',
    production = 'Total production: arabica, robusta and other, thousand 60 kg bags. USDA PSD attribute 028',
    arabica_production = 'Arabica production, thousand 60 kg bags. USDA PSD attribute 029',
    robusta_production = 'Robusta production, thousand 60 kg bags. USDA PSD attribute 053',
    imports = 'Total imports: green, roast and ground, and soluble, thousand 60 kg bags. USDA PSD attribute 057',
    exports = 'Total exports: green, roast and ground, and soluble, thousand 60 kg bags. USDA PSD attribute 088',
    domestic_consumption = 'Domestic consumption: roast and ground, and soluble, thousand 60 kg bags. USDA PSD attribute 125',
    ending_stocks = 'Stocks at the end of the market year, thousand 60 kg bags. USDA PSD attribute 176',
    stock_to_use = 'Ending stocks over domestic consumption plus exports, a ratio (0.25 is three months of use); empty where use is zero. Derived from USDA PSD'
  )
);
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
    / NULLIF(SUM(thousand_bags) FILTER (WHERE attribute IN ('Domestic Consumption', 'Exports')), 0))::DOUBLE AS stock_to_use
FROM staging.psd
GROUP BY country_code, country_name, market_year
ORDER BY country_code, market_year, country_name
