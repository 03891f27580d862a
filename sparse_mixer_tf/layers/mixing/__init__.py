"""Token mixing: linear, Fourier, Hartley, circulant and Toeplitz."""
