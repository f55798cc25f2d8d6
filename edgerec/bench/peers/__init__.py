"""Engines that run a bundle's functions beside MNN, one in each file."""
