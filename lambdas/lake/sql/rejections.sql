-- Why images were rejected, and what the last of each kind was told.
SELECT
  model_set,
  rejection_code,
  count(*) AS images,
  max("date") AS last_day,
  max_by(rejection_message, finished_at) AS last_message
FROM records
WHERE status = 'rejected'
GROUP BY model_set, rejection_code
ORDER BY model_set, images DESC, rejection_code
