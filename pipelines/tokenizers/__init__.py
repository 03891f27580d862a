"""Vocabularies: SentencePiece models and symbols."""
