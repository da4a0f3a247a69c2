MODEL (
  name serving.global_balance,
  kind VIEW,
  description 'World coffee supply and demand by market year, in thousand 60 kg bags: the sum of the countries in commodity_metrics. Source: USDA FAS PSD Online, public domain',
  column_descriptions (
    market_year = 'USDA market year label. USDA PSD',
    production = 'World production, thousand 60 kg bags, all countries summed. USDA PSD attribute 028',
    domestic_consumption = 'World domestic consumption, thousand 60 kg bags, all countries summed. Most importing countries are reported from 2003 only, so earlier years show producers alone. USDA PSD attribute 125',
    ending_stocks = 'World stocks at the end of the market year, thousand 60 kg bags, all countries summed. USDA PSD attribute 176',
    stock_to_use = 'World ending stocks over world domestic consumption, a ratio; trade is left out, since one country''s exports are another''s imports. Derived from USDA PSD'
  )
);
SELECT
  market_year::INT AS market_year,
  SUM(production)::DOUBLE AS production,
  SUM(domestic_consumption)::DOUBLE AS domestic_consumption,
  SUM(ending_stocks)::DOUBLE AS ending_stocks,
  (SUM(ending_stocks) / NULLIF(SUM(domestic_consumption), 0))::DOUBLE AS stock_to_use
FROM serving.commodity_metrics
GROUP BY market_year
ORDER BY market_year
