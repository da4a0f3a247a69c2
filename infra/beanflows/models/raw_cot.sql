MODEL (
  name raw.cot,
  kind FULL,
  description 'CFTC Commitments of Traders, Coffee C on ICE Futures US, disaggregated, futures and options combined, exactly as landed: one row per week, every field as text. Where several files have landed, the newest by file name. Source: CFTC, public domain',
  column_descriptions (
    date = 'Date of the positions, YYYY-MM-DD: the close of business on a Tuesday (published on the Friday after)',
    oi = 'Open interest, contracts of 37,500 lb',
    mm_long = 'Managed money, long positions, contracts',
    mm_short = 'Managed money, short positions, contracts',
    pm_long = 'Producers, merchants, processors and users, long positions, contracts',
    pm_short = 'Producers, merchants, processors and users, short positions, contracts',
    sd_long = 'Swap dealers, long positions, contracts',
    sd_short = 'Swap dealers, short positions, contracts',
    other_long = 'Other reportable traders, long positions, contracts',
    other_short = 'Other reportable traders, short positions, contracts',
    mm_net = 'Managed money, long minus short, contracts',
    pm_net = 'Producers, merchants, processors and users, long minus short, contracts',
    sd_net = 'Swap dealers, long minus short, contracts',
    other_net = 'Other reportable traders, long minus short, contracts'
  )
);
SELECT
  date, oi,
  mm_long, mm_short, pm_long, pm_short, sd_long, sd_short, other_long, other_short,
  mm_net, pm_net, sd_net, other_net
FROM READ_CSV(@landing || '/cot_coffee_disaggregated_*.csv', header = TRUE, all_varchar = TRUE, filename = TRUE)
WHERE filename = (SELECT MAX(file) FROM GLOB(@landing || '/cot_coffee_disaggregated_*.csv'))
