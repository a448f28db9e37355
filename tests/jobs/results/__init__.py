"""Tests of the laptop's scoring."""
