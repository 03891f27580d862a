"""Finished work directories: loading, comparing, tabulating."""
