"""Token spans become padded, masked rows; pure NumPy."""
