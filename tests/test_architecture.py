import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_mixer_tf.architecture import (
    ArchitectureError,
    check_causal,
    check_nlayers,
    compress,
    lay_out,
    parse,
    replaced_layers,
)


def test_repeats_are_spelled_out_and_dots_separate_blocks():
    architecture = parse("2*(s.f)3*(l)")
    assert architecture.text == "s.fs.flll"
    assert architecture.blocks == ("s", "fs", "flll")
    assert parse("2*(s2*(fg))").letters == "sfgfgsfgfg"
    assert parse("..sf..g.").blocks == ("sf", "g")


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("sgfx", 3, "'x'"),
        ("12*(sf", 3, "never closed"),
        ("sf)", 2, "without a '('"),
        ("sf3f", 3, "N*(…)"),
        ("0*(sf)", 0, "repeat count"),
        ("2*()", 2, "repeat of nothing"),
        ("", 0, "empty"),
        ("...", 0, "no sublayer"),
        ("99999999999999999999*(sf)", 0, "repeat count"),
        ("999*(999*(sf))", 5, "more than"),
        ("s f", 1, "' '"),
    ],
)
def test_an_error_points_at_the_character(text, position, words):
    with pytest.raises(ArchitectureError) as error:
        parse(text)
    problem, shown, caret = str(error.value).split("\n")
    assert words in problem
    assert shown == "  " + text
    assert caret == "  " + " " * position + "^"


@given(st.text(alphabet="sfglrhct.", min_size=1, max_size=40).filter(lambda s: s.strip(".")))
def test_what_is_printed_reads_back(spelled):
    printed = compress(spelled)
    assert parse(printed).text == spelled
    assert len(printed) <= len(spelled)


def test_the_published_models_print_as_in_the_paper():
    assert lay_out("l", 14, 4, "top", 4, "middle") == "5*(lf)4*(lg)lf4*(sf)"
    assert lay_out("s", 12) == "12*(sf)"
    assert lay_out("r", 12) == "12*(rf)"
    assert parse(lay_out("l", 8, 4, "top", 4, "middle")).letters == "lflflglgsgsgsfsf"


def test_explicit_positions_place_attention_and_experts():
    assert parse(lay_out("t", 4, 2, (1, 3), 1, (0,))).letters == "tgsftfsf"
    with pytest.raises(ValueError, match="layer 9 is not in the model; expected 0 to 3"):
        lay_out("t", 4, 1, (9,))


def test_layouts_replace_the_layers_of_the_original():
    assert replaced_layers(14, 4, "bottom") == (0, 1, 2, 3)
    assert replaced_layers(14, 4, "middle") == (5, 6, 7, 8)
    assert replaced_layers(14, 4, "mixed") == (0, 3, 6, 9, 12)
    assert replaced_layers(14, 4, "top") == (10, 11, 12, 13)
    assert replaced_layers(4, 1, "middle") == (2,)
    assert replaced_layers(4, 0, "mixed") == ()
    with pytest.raises(ValueError, match="5 layers cannot be replaced in a model of 4"):
        replaced_layers(4, 5, "mixed")


def test_a_causal_model_refuses_what_sees_the_future():
    check_causal(parse("sfsg"), "dropless")
    with pytest.raises(ArchitectureError, match="linear mixing"):
        check_causal(parse("sflf"), "dropless")
    with pytest.raises(ArchitectureError, match="experts_choose"):
        check_causal(parse("sfg"), "experts_choose")


def test_nlayers_is_half_the_characters_dots_counted():
    check_nlayers(parse("s.sfsf.f"), 4)
    check_nlayers(parse("sfsfsf"), None)
    with pytest.raises(ArchitectureError, match="--nlayers=3 does not fit.*it is 4"):
        check_nlayers(parse("s.sfsf.f"), 3)
