"""Every flag of the package, once. Most are made from the fields of the settings dataclasses."""

import dataclasses
import difflib
import sys
from collections.abc import Collection
from pathlib import Path

from absl import flags

import pipelines.flags
from pipelines.settings import DataSettings
from sparse_mixer_tf import architecture, presets, settings
from sparse_mixer_tf.training.workdir import VOCABULARY, settings_of_run

FLAGS = flags.FLAGS
SECTIONS = (settings.ModelSettings, settings.TrainingSettings, settings.RunSettings)

flags.DEFINE_string("workdir", None, "Folder of the run: started there, or continued.")
flags.register_validator(
    "workdir",
    lambda folder: "://" not in (folder or ""),
    "is not a folder of this machine, where files are made whole by renaming them; mount the "
    "bucket (gcsfuse), or copy the run while it grows, as configs/tpu/on_host.sh does",
)
flags.DEFINE_string(
    "preset", None, f"Architecture and sizes by name: {', '.join(presets.PRESETS)}."
)
flags.DEFINE_integer("nlayers", None, "Checked only: half the characters of --architecture.")
flags.DEFINE_string(
    "init_checkpoint",
    None,
    "Workdir whose best weights a new run starts from, with its model and vocabulary; heads that "
    "it does not have start afresh.",
)

flags.DEFINE_list("seeds", [], "Several runs, one for each seed, in folders of --workdir.")
flags.DEFINE_list("learning_rates", [], "Several runs, one for each peak learning rate.")
flags.DEFINE_enum(
    "benchmark", None, ["glue", "superglue"], "Every task of a benchmark, in folders of --workdir."
)
flags.DEFINE_enum(
    "mixing",
    None,
    [*architecture.MIXING_LETTERS, "s"],
    "Instead of --architecture: the letter that fills the layers not replaced by attention.",
)
flags.DEFINE_integer("num_layers", None, "With --mixing: layers, each of two sublayers.")
flags.DEFINE_integer("num_attention_layers", 0, "With --mixing: layers that attend.")
flags.DEFINE_string(
    "attention_layout", "top", "With --mixing: bottom, middle, mixed, top, or layers such as 1,3."
)
flags.DEFINE_integer("num_moe_layers", 0, "With --mixing: layers with experts.")
flags.DEFINE_string(
    "moe_layout", "middle", "With --mixing: bottom, middle, mixed, top, or layers such as 1,3."
)


def _define(section: type, name: str, default, metadata) -> None:
    kind, text, choices = settings.value_type(section, name), metadata["help"], metadata["choices"]
    if choices:
        flags.DEFINE_enum(name, default, list(choices), text)
    elif kind is bool:
        flags.DEFINE_bool(name, default, text)
    else:
        define = {int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}
        define[kind](name, default, text)


for _section in SECTIONS:
    for _item in dataclasses.fields(_section):
        _define(_section, _item.name, _item.default, _item.metadata)
flags.DEFINE_alias("batch_split", "gradient_accumulation_steps")


def suggestion(argument: str) -> str:
    """`did you mean --x?` for a mistyped flag, or nothing."""
    name = argument.lstrip("-").split("=")[0]
    near = difflib.get_close_matches(name, list(FLAGS), n=1)
    return f"; did you mean --{near[0]}?" if near else ""


def require(*names: str) -> None:
    """Checks that flags without a default were given."""
    for name in names:
        if FLAGS[name].value is None:
            raise settings.SettingsError(f"--{name} is required: {FLAGS[name].help}")


def refuse_without_effect(names: Collection[str], program: str) -> None:
    """Refuse a flag of the trainer that is given to a program on which it has no effect.

    Args:
        names: the flags that have an effect.
        program: named in the message.

    Raises:
        SettingsError: naming the flag.
    """
    for line in given():
        name = line.lstrip("-").partition("=")[0]
        name = name if name in FLAGS else name.removeprefix("no")
        if name not in names:
            raise settings.SettingsError(
                f"--{name} has no effect on {program}, which takes it from the run; leave it out"
            )


def data_settings() -> DataSettings:
    """The data flags, with sequence length and vocabulary of the preset or the checkpoint."""
    start = _start()
    if "max_seq_length" in start and not FLAGS["max_seq_length"].present:
        FLAGS.max_seq_length = start["max_seq_length"]
    if FLAGS.init_checkpoint is not None and FLAGS.vocab_filepath is None:
        theirs = Path(FLAGS.init_checkpoint) / VOCABULARY
        # A language model of bytes, characters or words has no such file.
        FLAGS.vocab_filepath = str(theirs) if theirs.exists() else None
    return pipelines.flags.from_flags()


def model_settings() -> settings.ModelSettings:
    """The model flags: the values of the preset or checkpoint, then what is given explicitly."""
    values = {k: v for k, v in _start().items() if k in FLAGS and k != "max_seq_length"}
    for item in dataclasses.fields(settings.ModelSettings):
        if FLAGS[item.name].present or item.name not in values:
            values[item.name] = FLAGS[item.name].value
    values["architecture"] = _architecture(values["architecture"])
    return settings.ModelSettings(**values)


def training_settings() -> settings.TrainingSettings:
    """Return the training flags; a warm-up longer than the training is shortened to a tenth."""
    found = _section_from_flags(settings.TrainingSettings)
    counts_steps = found.train_epochs is None and found.warmup_proportion is None
    if counts_steps and found.warmup_steps > found.train_steps:
        shorter = max(found.train_steps // 10, 1)
        print(
            f"note: --warmup_steps={found.warmup_steps} is more than --train_steps="
            f"{found.train_steps}; {shorter} are used",
            file=sys.stderr,
        )
        FLAGS.warmup_steps = shorter
        found = dataclasses.replace(found, warmup_steps=shorter)
    return found


def run_settings() -> settings.RunSettings:
    return _section_from_flags(settings.RunSettings)


def given(without: tuple[str, ...] = ()) -> list[str]:
    """The flags that were set, as the lines of a flagfile that repeats the run."""
    ours = FLAGS.flags_by_module_dict()
    modules = ("sparse_mixer_tf.cli.flags", "pipelines.flags")
    names = {flag.name for module in modules for flag in ours.get(module, [])}
    names -= {"workdir", *without}
    return [FLAGS[name].serialize() for name in sorted(names) if FLAGS[name].present]


def _section_from_flags(section: type):
    return section(**{item.name: FLAGS[item.name].value for item in dataclasses.fields(section)})


def _start() -> dict:
    """Return model and sequence length of a preset, or of the run of `--init_checkpoint`."""
    if FLAGS.init_checkpoint is None:
        return _preset()
    if FLAGS.preset is not None:
        raise settings.SettingsError(
            f"--preset={FLAGS.preset} and --init_checkpoint both name a model; give one"
        )
    facts = settings_of_run(Path(FLAGS.init_checkpoint), "init_checkpoint")
    length = facts["data"].get("max_seq_length")
    return facts["model"] | ({} if length is None else {"max_seq_length": length})


def _preset() -> dict:
    if FLAGS.preset is None:
        return {}
    try:
        return presets.get(FLAGS.preset)
    except ValueError as error:
        raise settings.SettingsError(str(error)) from None


def _architecture(text: str) -> str:
    """The architecture string in its printed form, from the string or from a layout."""
    if FLAGS.mixing is not None:
        if FLAGS["architecture"].present or FLAGS.preset is not None:
            raise settings.SettingsError(
                f"--mixing={FLAGS.mixing} and --architecture or --preset say the same twice; "
                "give one"
            )
        require("num_layers")
        try:
            text = architecture.lay_out(
                FLAGS.mixing,
                FLAGS.num_layers,
                FLAGS.num_attention_layers,
                _layout("attention_layout"),
                FLAGS.num_moe_layers,
                _layout("moe_layout"),
            )
        except ValueError as error:
            raise settings.SettingsError(f"--mixing={FLAGS.mixing}: {error}") from None
    parsed = architecture.parse(text)
    architecture.check_nlayers(parsed, FLAGS.nlayers)
    return str(parsed)


def _layout(name: str) -> str | tuple[int, ...]:
    text = FLAGS[name].value
    if text in architecture.LAYOUTS:
        return text
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise settings.SettingsError(
            f"--{name}={text} is no layout; use one of {', '.join(architecture.LAYOUTS)}, "
            "or layer numbers such as 1,3"
        ) from None
