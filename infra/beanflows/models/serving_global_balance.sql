MODEL (
  name serving.global_balance,
  kind VIEW,
  description 'World coffee supply and demand by season, in thousand 60 kg bags: the sum of the countries in commodity_metrics. Source: USDA FAS PSD Online, public domain',
  column_descriptions (
    market_year = 'Year in which the season begins: 2022 for 2022/23. USDA PSD',
    production = 'World production, thousand 60 kg bags, all countries summed. USDA PSD attribute 028',
    domestic_consumption = 'World domestic consumption, thousand 60 kg bags, all countries summed; where importers are not reported, producers alone. USDA PSD attribute 125',
    ending_stocks = 'World stocks at the end of the season, thousand 60 kg bags, all countries summed. USDA PSD attribute 176',
    stock_to_use = 'World ending stocks / world domestic consumption, a ratio; trade is left out, since one country''s exports are another''s imports. Derived from USDA PSD',
    season = 'The season, for example 2022/23. USDA PSD',
    is_forecast = 'Whether it is the newest season of the vintage, which USDA forecasts. Derived from USDA PSD',
    beginning_stocks = 'World stocks at the beginning of the season, thousand 60 kg bags, all countries summed. USDA PSD attribute 020',
    imports = 'World imports, thousand 60 kg bags, all countries summed. USDA PSD attribute 057',
    exports = 'World exports, thousand 60 kg bags, all countries summed. USDA PSD attribute 088',
    importers_reported = 'Whether importers are reported, so that world consumption and stocks are whole: imports are at least 80 % of exports. Derived from USDA PSD',
    balance_gap = 'Beginning stocks + production + imports - domestic consumption - exports - ending stocks, thousand 60 kg bags: zero but for rounding. Derived from USDA PSD'
  )
);
SELECT
  market_year::INT AS market_year,
  SUM(production)::DOUBLE AS production,
  SUM(domestic_consumption)::DOUBLE AS domestic_consumption,
  SUM(ending_stocks)::DOUBLE AS ending_stocks,
  (SUM(ending_stocks) / NULLIF(SUM(domestic_consumption), 0))::DOUBLE AS stock_to_use,
  season,
  is_forecast,
  SUM(beginning_stocks)::DOUBLE AS beginning_stocks,
  SUM(imports)::DOUBLE AS imports,
  SUM(exports)::DOUBLE AS exports,
  COALESCE(SUM(imports) >= 0.8 * NULLIF(SUM(exports), 0), FALSE) AS importers_reported,
  SUM(balance_gap)::DOUBLE AS balance_gap
FROM serving.commodity_metrics
GROUP BY market_year, season, is_forecast
ORDER BY market_year
