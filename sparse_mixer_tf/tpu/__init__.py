"""The TPU compiler's results for a run, on a machine that has no TPU.

`programs` makes the functions of a run, `lowering` turns them into StableHLO, `compiling` has them
compiled in a process of its own, `roofline` makes times of the answer and of the `chips`' numbers.
"""
