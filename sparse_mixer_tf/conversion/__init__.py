"""Models from and to other libraries: read into settings and named arrays, written from them."""
