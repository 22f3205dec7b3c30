"""Tests of `udtf.sql`: how statements and plans reach DataFusion."""
