"""Stage one: Normal or Abnormal."""
