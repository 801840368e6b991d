"""Tests of lambdas/report."""
