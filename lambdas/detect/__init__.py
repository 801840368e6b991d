"""Stage two: findings with boxes."""
