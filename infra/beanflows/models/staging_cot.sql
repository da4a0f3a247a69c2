MODEL (
  name staging.cot,
  kind VIEW,
  description 'CFTC Commitments of Traders, Coffee C, typed: one row per weekly report. Source: CFTC disaggregated report, futures and options combined, public domain',
  column_descriptions (
    report_date = 'Date of the positions, a Tuesday as a rule',
    open_interest = 'Open interest, contracts of 37,500 lb',
    managed_money_long = 'Managed money, long positions, contracts',
    managed_money_short = 'Managed money, short positions, contracts',
    managed_money_net = 'Managed money, long minus short, contracts',
    producer_net = 'Producers, merchants, processors and users, long minus short, contracts',
    swap_dealer_net = 'Swap dealers, long minus short, contracts'
  )
);
SELECT
  date::DATE AS report_date,
  oi::BIGINT AS open_interest,
  mm_long::BIGINT AS managed_money_long,
  mm_short::BIGINT AS managed_money_short,
  mm_net::BIGINT AS managed_money_net,
  pm_net::BIGINT AS producer_net,
  sd_net::BIGINT AS swap_dealer_net
FROM raw.cot
