"""The AWS stack, and the same pipeline on one machine."""
