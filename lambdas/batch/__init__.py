"""All three stages on many images in one process."""
