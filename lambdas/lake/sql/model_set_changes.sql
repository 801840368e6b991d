-- Images that two model sets have both analysed, and how often they disagree.
SELECT
  one.model_set AS first_model_set,
  other.model_set AS second_model_set,
  count(*) AS images,
  count(*) FILTER (WHERE one.positive AND NOT other.positive) AS no_longer_positive,
  count(*) FILTER (WHERE other.positive AND NOT one.positive) AS newly_positive,
  avg(other.probability - one.probability) AS mean_change
FROM records AS one
JOIN records AS other ON one.image_id = other.image_id AND one.model_set < other.model_set
WHERE one.status = 'analysed' AND other.status = 'analysed'
GROUP BY one.model_set, other.model_set
ORDER BY one.model_set, other.model_set
