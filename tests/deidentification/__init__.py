"""Whose image it is must not leave with the results: identifiers are planted, then looked for."""
