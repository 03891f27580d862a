"""Models of other libraries become ours and go back, as a user does it."""

from pathlib import Path

import pytest

from sparse_mixer_tf.models import SparseMixerMaskedLM
from tests.conversion import hugging_face
from tests.models.small_vocabulary import train_vocabulary


@pytest.fixture(scope="module")
def theirs(programs) -> Path:
    """An FNet of 60 pieces."""
    return hugging_face.save(programs.folder / "fnet", "FNetForPreTraining")


@pytest.fixture(scope="module")
def vocabularies(programs) -> tuple[Path, Path]:
    """SentencePiece models of 60 pieces, as the models have, and of 61."""
    paths = []
    for size in (60, 61):
        paths.append(programs.folder / f"{size}.model")
        special = ["[CLS]", "[SEP]", "[MASK]"]
        paths[-1].write_bytes(train_vocabulary(user_defined_symbols=special, vocab_size=size))
    return tuple(paths)


def convert(programs, *arguments) -> tuple[int, str]:
    return programs.run("sparse_mixer_tf.convert", *arguments)


@pytest.fixture(scope="module")
def converted(programs, theirs, vocabularies) -> Path:
    output = programs.folder / "converted"
    code, said = convert(
        programs, f"--input={theirs}", f"--output={output}", f"--vocab_filepath={vocabularies[0]}"
    )
    assert code == 0, said
    assert "fnet: 3*(rf), 4,806 parameters" in said and "a workdir, for --init_checkpoint" in said
    return output


def test_a_converted_model_goes_back_as_it_was(programs, theirs, converted):
    back = programs.folder / "back"
    code, said = convert(
        programs, f"--input={converted}", "--format=huggingface", f"--output={back}"
    )
    assert code == 0, said
    written = {path.name for path in back.iterdir()}
    assert written == {"config.json", "model.safetensors", "spiece.model"}
    name = "model.safetensors"
    assert (back / name).read_bytes() == (theirs / name).read_bytes()


def test_a_run_of_fine_tuning_starts_from_a_converted_model(programs, converted):
    rows = programs.folder / "rows_of_foxes.tsv"
    lines = [f"the {word} fox {n}\t{word}" for n in range(10) for word in ("quick", "lazy")]
    rows.write_text("\n".join(["text\tlabel", *lines]))
    code, said = programs.run(
        "sparse_mixer_tf.train", "--task=classify", f"--dataset={rows}", "--text_fields=text",
        "--validation_fraction=0.3", f"--init_checkpoint={converted}", "--train_batch_size=8",
        "--train_steps=2", "--warmup_steps=1", "--evaluations=1", "--jit_compile=false",
        f"--workdir={programs.folder / 'tuned_from_converted'}", "--noinspect", eager=True,
    )  # fmt: skip
    assert code == 0, said
    assert "weights of step 0 of" in said and "fresh (2): logits/bias, logits/kernel" in said
    assert SparseMixerMaskedLM.from_preset(str(converted)).preprocessor.sequence_length == 12


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--input={theirs}", "--vocab_filepath={other}"], "has 61 pieces, the word table of"),
        (["--input={theirs}", "--d_model=16"], "--d_model is a matter of the model that is read"),
        (["--input={folder}"], "is no model that is known"),
        (["--input={export}"], "is an export; its preset is in"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    programs, theirs, vocabularies, arguments, problem
):
    folder = programs.folder / "outputs"
    folder.mkdir(exist_ok=True)
    export = programs.folder / "export"
    export.mkdir(exist_ok=True)
    (export / "export.json").write_text("{}")
    known = {"theirs": theirs, "other": vocabularies[1], "folder": folder, "export": export}
    code, said = convert(
        programs, *(a.format(**known) for a in arguments), f"--output={folder / 'new'}"
    )
    assert code == 2 and problem in said, said
    assert "Traceback" not in said and said.count("error:") == 1
    assert not list(folder.iterdir())


def test_a_folder_that_is_not_empty_is_left_alone(programs, theirs, converted):
    before = sorted(path.name for path in converted.iterdir())
    code, said = convert(programs, f"--input={theirs}", f"--output={converted}")
    assert code == 2 and "is not empty; give a new or an empty folder" in said, said
    assert sorted(path.name for path in converted.iterdir()) == before
