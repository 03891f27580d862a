"""Turns a model of another library into one of ours, or one of ours into Hugging Face's.

python -m sparse_mixer_tf.convert --input=published/ --vocab_filepath=c4.model --output=runs/base
python -m sparse_mixer_tf.convert --input=bert-base-uncased/ --output=presets/bert
python -m sparse_mixer_tf.convert --input=runs/fnet --format=huggingface --output=fnet/

It reads checkpoints of the published JAX Sparse Mixers (`replicated_checkpoint_N` and its shards),
folders of Hugging Face's BERT and FNet (`config.json`, `model.safetensors`), runs and presets of
ours. It writes a KerasHub preset, which is the workdir of a run too where the SentencePiece
vocabulary is known, or a folder of Hugging Face.
"""

import dataclasses
from pathlib import Path

from absl import flags

import sparse_mixer_tf.cli.flags as package_flags
from pipelines.tokenizers import sentencepiece_model
from sparse_mixer_tf.cli import app
from sparse_mixer_tf.cli.output_dir import check_output, unfinished
from sparse_mixer_tf.conversion import preset_writer, workdir_reader
from sparse_mixer_tf.conversion.flax import checkpoint as flax_checkpoint
from sparse_mixer_tf.conversion.flax import model as flax_model
from sparse_mixer_tf.conversion.huggingface import model as huggingface
from sparse_mixer_tf.conversion.portable_model import CLASSIFIER, PlainModel, check_vocabulary
from sparse_mixer_tf.serving.export_dir import FACTS, PRESET
from sparse_mixer_tf.settings import ModelSettings, SettingsError

flags.DEFINE_string("input", None, "A checkpoint, a folder of Hugging Face, a run or a preset.")
flags.DEFINE_string("output", None, "A new folder, for the model.")
flags.DEFINE_enum(
    "format",
    "keras_hub",
    ["keras_hub", "huggingface"],
    "A preset and workdir of ours, or BERT or FNet as Hugging Face has them.",
)
# What --help shows besides the program's own flags.
flags.declare_key_flag("vocab_filepath")
flags.declare_key_flag("mixing")
FLAGS = flags.FLAGS
WRITERS = {"keras_hub": preset_writer.write, "huggingface": huggingface.write}


def main() -> int:
    package_flags.require("input", "output")
    output = Path(FLAGS.output)
    check_output(output)
    model = _with_vocabulary(_read(Path(FLAGS.input)))
    with unfinished(output) as folder:
        WRITERS[FLAGS.format](model, folder)
    parameters = sum(array.size for array in model.weights.values())
    step = f", step {model.step:,}" if model.step else ""
    print(f"{model.origin}: {model.settings.architecture}, {parameters:,} parameters{step}")
    for note in (*model.notes, *_written(model)):
        print(f"  {note}")
    return app.DONE


def _read(place: Path) -> PlainModel:
    checkpoint = flax_checkpoint.find(place) if place.exists() else None
    if checkpoint is not None:
        return flax_model.read(checkpoint, _given(flax_model.UNTOLD), FLAGS.mixing)
    _given(())
    if FLAGS.mixing:
        raise SettingsError(f"--mixing={FLAGS.mixing} is for checkpoints of the published code")
    for is_it, read in (
        (workdir_reader.is_workdir, workdir_reader.read_workdir),
        (huggingface.is_model, huggingface.read),
        (workdir_reader.is_preset, workdir_reader.read_preset),
    ):
        if is_it(place):
            return read(place)
    if not place.exists():
        raise SettingsError(f"--input={place} does not exist")
    if (place / FACTS).is_file():
        raise SettingsError(f"--input={place} is an export; its preset is in {place / PRESET}")
    raise SettingsError(
        f"--input={place} is no model that is known: a folder with replicated_checkpoint_N, with "
        "Hugging Face's config.json, with a preset, or the workdir of a run"
    )


def _given(may_be: tuple[str, ...]) -> dict:
    """Settings of the model that were given as flags.

    Raises:
        SettingsError: one of them is a matter of the model that is read.
    """
    names = [item.name for item in dataclasses.fields(ModelSettings) if FLAGS[item.name].present]
    for name in names:
        if name not in may_be:
            raise SettingsError(f"--{name} is a matter of the model that is read; leave it out")
    return {name: FLAGS[name].value for name in names}


def _with_vocabulary(model: PlainModel) -> PlainModel:
    """The model with the vocabulary of the flag, or with the one that lies beside it."""
    beside = Path(FLAGS.input) / huggingface.SENTENCEPIECE
    path = FLAGS.vocab_filepath or (beside if beside.is_file() else None)
    if path is None:
        return model
    if model.vocabulary is not None:
        raise SettingsError(f"--vocab_filepath={path}: {model.origin} has its own; leave it out")
    words = sentencepiece_model.load(path)
    check_vocabulary(words, str(path), model.origin, model.vocabulary_size)
    return dataclasses.replace(model, vocabulary=words)


def _written(model: PlainModel) -> list[str]:
    if FLAGS.format == "huggingface":
        return [f"{FLAGS.output}: for transformers' from_pretrained"]
    if model.vocabulary is None:
        beside = Path(FLAGS.input) / huggingface.WORDPIECE
        whose = f"the WordPiece vocabulary {beside}" if beside.is_file() else "its own vocabulary"
        return [
            "no SentencePiece vocabulary: the preset has no tokenizer, feed it token_ids of "
            f"{whose}",
            f"{FLAGS.output}: a preset, for from_preset",
        ]
    lines = [f"{FLAGS.output}: a preset, for from_preset, and a workdir, for --init_checkpoint"]
    if model.has(CLASSIFIER):
        lines.append("the classifier is in the preset, the workdir holds its encoder")
    return lines


if __name__ == "__main__":
    app.run(main)
