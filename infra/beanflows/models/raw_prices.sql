MODEL (
  name raw.prices,
  kind FULL,
  description 'Monthly coffee prices exactly as landed: one row per month, every field as text. Where several files have landed, the newest by file name. Source: World Bank Commodity Price Data (the Pink Sheet), CC BY 4.0',
  column_descriptions (
    month = 'Month, YYYYMmm, for example 2025M04',
    arabica_usd_per_kg = 'Arabica, ICO indicator price for other mild arabicas, monthly average, US dollars per kg, nominal',
    robusta_usd_per_kg = 'Robusta, ICO indicator price for robustas, monthly average, US dollars per kg, nominal'
  )
);
SELECT month, arabica_usd_per_kg, robusta_usd_per_kg
FROM READ_CSV(@landing || '/worldbank_pinksheet_coffee_monthly*.csv', header = TRUE, all_varchar = TRUE, filename = TRUE)
WHERE filename = (SELECT MAX(file) FROM GLOB(@landing || '/worldbank_pinksheet_coffee_monthly*.csv'))
