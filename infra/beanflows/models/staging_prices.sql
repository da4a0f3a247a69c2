MODEL (
  name staging.prices,
  kind VIEW,
  description 'Monthly coffee prices, typed: one row per month. Source: World Bank Pink Sheet, CC BY 4.0',
  column_descriptions (
    month = 'First day of the month',
    arabica = 'Arabica (ICO other milds), monthly average, US dollars per kg, nominal',
    robusta = 'Robusta (ICO robustas), monthly average, US dollars per kg, nominal'
  )
);
SELECT
  STRPTIME(month, '%YM%m')::DATE AS month,
  arabica_usd_per_kg::DOUBLE AS arabica,
  robusta_usd_per_kg::DOUBLE AS robusta
FROM raw.prices
