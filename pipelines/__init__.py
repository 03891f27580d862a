"""tf.data streams of text: sources, vocabularies, token stores, examples."""
