-- Images per day by status and label.
SELECT "date", model_set, status, label, count(*) AS images
FROM records
GROUP BY "date", model_set, status, label
ORDER BY "date", model_set, status, label
