"""Labelled examples of GLUE, SuperGLUE and files of a user's own."""
