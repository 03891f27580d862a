"""Raw text becomes documents: one reader for each kind of source."""
