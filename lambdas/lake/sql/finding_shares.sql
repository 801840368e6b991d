-- Each finding: images it was looked for in, images it was found in, boxes, mean score.
WITH assessed AS (
  SELECT model_set, finding, count(*) AS images
  FROM records
  CROSS JOIN UNNEST(detectable) AS looked_for (finding)
  WHERE detection_performed
  GROUP BY model_set, finding
),
found AS (
  SELECT
    model_set,
    finding,
    count(DISTINCT image_id) AS images,
    count(*) AS boxes,
    avg(score) AS mean_score
  FROM findings
  GROUP BY model_set, finding
)
SELECT
  assessed.model_set,
  assessed.finding,
  assessed.images AS assessed_images,
  coalesce(found.images, 0) AS images_with_finding,
  coalesce(found.boxes, 0) AS boxes,
  CAST(coalesce(found.images, 0) AS double) / assessed.images AS share,
  found.mean_score
FROM assessed
LEFT JOIN found ON found.model_set = assessed.model_set AND found.finding = assessed.finding
ORDER BY assessed.model_set, share DESC, assessed.finding
