"""From a function of TensorFlow to StableHLO, the language that compilers of accelerators read."""

import re

from sparse_mixer_tf.settings import SettingsError

_OP_AND_NODE = re.compile(r"(\w+) \(No registered '\w+' OpKernel for .*?\{\{node ([^}]+)\}\}", re.S)
_NODE = re.compile(r"\{\{node ([^}]+)\}\}")


class LoweringError(SettingsError):
    """A function that cannot be compiled for any accelerator; names op and sublayer."""


def lower(name: str, function, *arguments) -> bytes:
    """The StableHLO of a function, for arguments of these shapes.

    Args:
        name: what the function is, for people.
        function: a `tf.function(jit_compile=True)`.
        arguments: tensors, or structures of them.

    Returns:
        A serialized module. Its parameters are the arguments, then the variables; the locations of
        its ops hold the names of the layers that made them.

    Raises:
        LoweringError: an op has no kernel in XLA, or a size depends on values where it may not.
    """
    try:
        compiler_ir = function.experimental_get_compiler_ir(*arguments)
        return compiler_ir(stage="stablehlo_serialized")
    except ValueError as error:
        raise LoweringError(f"{name}: {_told(str(error))}") from None


def place(location: str) -> str:
    """The sublayer that an op's name begins in, or the whole name where it is in none.

    >>> place("gradient_tape/model_1/backbone_1/sublayer_03_g_1/moe_1/Where")
    'sublayer_03_g (moe/Where)'
    """
    # A layer that is called again gets a number behind its name.
    parts = [re.sub(r"_\d+$", "", part) for part in location.split("/")]
    for index, part in enumerate(parts):
        if re.fullmatch(r"sublayer_\d+_[a-z]", part):
            inner = "/".join(parts[index + 1 :])
            return f"{part} ({inner})" if inner else part
    return location


def _told(text: str) -> str:
    """One line: the op that XLA lacks and who made it, or what else was wrong."""
    lacking = _OP_AND_NODE.search(text)
    if lacking:
        return f"{place(lacking[2])} uses the op {lacking[1]}, which XLA lacks"
    node = _NODE.search(text)
    reason = text.split("\n")[0][:300]
    return f"{place(node[1])}: {reason}" if node else reason
