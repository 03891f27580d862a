"""FFT or matrix products: forward + backward of the mixing sublayers, for several shapes.

    python -m benchmarks.mixing [--sizes 64 256 1024] [--jit] [--repeats 7]

4,096 tokens in sequences of `size` with `size` features. `fft_from` of each mixing layer comes from
here: the least size at which the FFT is the faster one. With KERAS_BACKEND=jax the same on JAX.
"""

import argparse

import keras

from benchmarks import steps, timing
from sparse_mixer_tf import layers

TOKENS = 4096
MIXERS = (
    layers.FourierMixing,
    layers.HartleyMixing,
    layers.CirculantMixing,
    layers.ToeplitzMixing,
)


def measure(size: int, jit: bool, repeats: int) -> dict[str, float]:
    """Median milliseconds of each mixer and implementation, timed in turn."""
    x = keras.random.normal((max(TOKENS // size, 1), size, size))
    runs = {
        f"{mixer.__name__} {implementation}": steps.forward_and_back(mixer(implementation), x, jit)
        for mixer in MIXERS
        for implementation in ("fft", "matmul")
    }
    return timing.medians(timing.in_turn(runs, repeats))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--jit", action="store_true", help="compile with XLA")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    for size in arguments.sizes:
        print(f"\n{size} x {size}, {steps.compiler(str(arguments.jit).lower())}, float32")
        for name, milliseconds in measure(size, arguments.jit, arguments.repeats).items():
            print(f"  {name:26s} {milliseconds:8.1f} ms")


if __name__ == "__main__":
    main()
