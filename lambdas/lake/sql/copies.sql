-- Files that came under several names or several times.
SELECT model_set, sha256, count(*) AS images, min("date") AS first_day, max("date") AS last_day
FROM records
WHERE sha256 IS NOT NULL
GROUP BY model_set, sha256
HAVING count(*) > 1
ORDER BY images DESC, sha256, model_set
LIMIT 1000
