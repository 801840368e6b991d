-- Images within 0.02 of the operating point, the nearest first: the ones to look at again.
SELECT image_id, model_set, "date", label, probability, threshold, record_uri
FROM records
WHERE abs(probability - threshold) <= 0.02
ORDER BY abs(probability - threshold), image_id
LIMIT 1000
