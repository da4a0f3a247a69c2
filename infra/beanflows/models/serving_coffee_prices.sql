MODEL (
  name serving.coffee_prices,
  kind FULL,
  description 'Monthly coffee prices, US dollars per kg: averages of the ICO group indicators, ex-dock. Source: World Bank Commodity Price Data (the Pink Sheet), CC BY 4.0; indicators by the International Coffee Organization',
  column_descriptions (
    month = 'First day of the month the price is the average of. World Bank Pink Sheet',
    arabica = 'Arabica: ICO group indicator for other mild arabicas, ex-dock, monthly average, US dollars per kg, nominal; times 45.359237 for US cents per lb. World Bank Pink Sheet',
    robusta = 'Robusta: ICO group indicator for robustas, ex-dock, monthly average, US dollars per kg, nominal; times 1,000 for US dollars per ton. World Bank Pink Sheet',
    spread = 'Arabica minus robusta, US dollars per kg, nominal. Derived from the World Bank Pink Sheet',
    arabica_change_12m = 'Arabica / arabica in the same month a year before - 1, a ratio (0.10 is 10 %); empty in the first 12 months. Derived from the World Bank Pink Sheet',
    arabica_real = 'Arabica * US consumer prices of the base year / those of the month''s year, US dollars per kg of the base year; empty in years without an annual average yet. Derived from the World Bank Pink Sheet and US BLS CPI-U',
    robusta_real = 'Robusta * US consumer prices of the base year / those of the month''s year, US dollars per kg of the base year; empty in years without an annual average yet. Derived from the World Bank Pink Sheet and US BLS CPI-U',
    real_base = 'Base year of real prices: the last with an annual average of US consumer prices'
  )
);
WITH base AS (SELECT MAX(year) AS year, MAX_BY(cpi, year) AS cpi FROM staging.cpi)
SELECT
  prices.month,
  prices.arabica,
  prices.robusta,
  (prices.arabica - prices.robusta)::DOUBLE AS spread,
  (prices.arabica / NULLIF(LAG(prices.arabica, 12) OVER (ORDER BY prices.month), 0) - 1)::DOUBLE AS arabica_change_12m,
  (prices.arabica * base.cpi / cpi.cpi)::DOUBLE AS arabica_real,
  (prices.robusta * base.cpi / cpi.cpi)::DOUBLE AS robusta_real,
  base.year AS real_base
FROM staging.prices
CROSS JOIN base
LEFT JOIN staging.cpi ON cpi.year = YEAR(prices.month)
ORDER BY prices.month
