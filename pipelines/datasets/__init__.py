"""The tf.data.Dataset of each training objective."""
