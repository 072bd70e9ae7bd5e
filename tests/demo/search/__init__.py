"""Tests of the stand-in's searches."""
