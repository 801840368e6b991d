-- How the triage probability is distributed, in tenths: a drift shows here first.
SELECT
  model_set,
  least(floor(probability * 10), 9) / 10 AS probability_from,
  count(*) AS images,
  count(*) FILTER (WHERE positive) AS positive_images
FROM records
WHERE status = 'analysed'
GROUP BY 1, 2
ORDER BY 1, 2
