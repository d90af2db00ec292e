"""Measure expression leakage in language models: one package, one room a stage."""
