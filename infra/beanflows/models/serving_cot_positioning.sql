MODEL (
  name serving.cot_positioning,
  kind FULL,
  description 'Weekly positions of traders in Coffee C futures and options (ICE Futures US), disaggregated. One contract is 37,500 lb, about 283.5 bags of 60 kg. Source: CFTC Commitments of Traders, public domain',
  column_descriptions (
    report_date = 'Date of the positions: the close of business on a Tuesday as a rule; CFTC publishes on the Friday after. CFTC COT',
    open_interest = 'Open interest, all traders, contracts. CFTC COT',
    managed_money_long = 'Managed money (funds and commodity trading advisors), long positions, contracts. CFTC COT',
    managed_money_short = 'Managed money (funds and commodity trading advisors), short positions, contracts. CFTC COT',
    managed_money_net = 'Managed money, long minus short, contracts; above zero when funds bet on a rise. CFTC COT',
    producer_net = 'Producers, merchants, processors and users, long minus short, contracts; below zero when they hedge what they hold. CFTC COT',
    swap_dealer_net = 'Swap dealers, long minus short, contracts. CFTC COT',
    cot_index_3y = '100 * (managed_money_net - lowest) / (highest - lowest), of the last 156 weeks including this one; empty until there are 156. Derived from CFTC COT',
    cot_percentile_3y = 'Share of the 155 weeks before in which managed_money_net was lower, 0 to 100; empty until there are 156 weeks. Unlike the index, one extreme week does not move it. Derived from CFTC COT'
  )
);
SELECT
  report_date,
  open_interest,
  managed_money_long,
  managed_money_short,
  managed_money_net,
  producer_net,
  swap_dealer_net,
  CASE WHEN COUNT(*) OVER w = 156 THEN
    (100.0 * (managed_money_net - MIN(managed_money_net) OVER w)
      / NULLIF(MAX(managed_money_net) OVER w - MIN(managed_money_net) OVER w, 0))::DOUBLE
  END AS cot_index_3y,
  CASE WHEN COUNT(*) OVER w = 156 THEN
    (100.0 * (LIST_POSITION(LIST_SORT(LIST(managed_money_net) OVER w), managed_money_net) - 1) / 155)::DOUBLE
  END AS cot_percentile_3y
FROM staging.cot
WINDOW w AS (ORDER BY report_date ROWS BETWEEN 155 PRECEDING AND CURRENT ROW)
ORDER BY report_date
