"""Commands that ask a cloud, against the embedded cloud's services without its functions."""
