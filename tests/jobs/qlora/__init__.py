"""Tests of the job that is shipped."""
