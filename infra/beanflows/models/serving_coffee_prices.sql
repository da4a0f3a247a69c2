MODEL (
  name serving.coffee_prices,
  kind FULL,
  description 'Monthly coffee prices, US dollars per kg, nominal. Source: World Bank Commodity Price Data (the Pink Sheet), CC BY 4.0',
  column_descriptions (
    month = 'First day of the month the price is the average of. World Bank Pink Sheet',
    arabica = 'Arabica (ICO other milds), monthly average, US dollars per kg; times 45.36 for US cents per lb. World Bank Pink Sheet',
    robusta = 'Robusta (ICO robustas), monthly average, US dollars per kg. World Bank Pink Sheet',
    spread = 'Arabica minus robusta, US dollars per kg. Derived from the World Bank Pink Sheet',
    arabica_change_12m = 'Change of arabica over the same month a year before, a ratio (0.10 is 10 %); empty in the first 12 months. Derived from the World Bank Pink Sheet'
  )
);
SELECT
  month,
  arabica,
  robusta,
  (arabica - robusta)::DOUBLE AS spread,
  (arabica / NULLIF(LAG(arabica, 12) OVER (ORDER BY month), 0) - 1)::DOUBLE AS arabica_change_12m
FROM staging.prices
ORDER BY month
