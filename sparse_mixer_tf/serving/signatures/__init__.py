"""The SavedModel signatures of each task."""
