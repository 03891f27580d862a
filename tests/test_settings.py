import pytest

from sparse_mixer_tf.settings import (
    ModelSettings,
    RunSettings,
    SettingsError,
    TrainingSettings,
    check_batch,
)


def test_settings_go_to_json_and_back():
    settings = ModelSettings(architecture="sf", d_emb=12, d_model=24, num_heads=3)
    assert ModelSettings.from_json(settings.to_json()) == settings
    with pytest.raises(SettingsError, match="ModelSettings has no setting 'depth'"):
        ModelSettings.from_json({"depth": 3})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelSettings(router="hash"), "--router=hash is unknown; use one of experts_ch"),
        (lambda: ModelSettings(d_model=0), "--d_model=0 is too small; use 1 or more"),
        (lambda: ModelSettings(dropout_rate=1.5), "--dropout_rate=1.5 is too large"),
        (
            lambda: ModelSettings(d_model=256, num_heads=12),
            "--num_heads=12 does not divide --d_model=256; use 8",
        ),
        (
            lambda: ModelSettings(num_selected_experts=20),
            "--num_selected_experts=20 is more than --num_experts=16; use 16 or fewer",
        ),
        (lambda: ModelSettings(num_experts=0), "--num_experts=0 does not fit"),
        (
            lambda: ModelSettings(d_emb=256, embedding_projection=False),
            "--d_emb=256 beside --d_model=512 needs a projection; drop --embedding_projection",
        ),
    ],
)
def test_an_error_names_flag_value_and_fix(make, message):
    with pytest.raises(SettingsError) as error:
        make()
    assert message in str(error.value)


def test_a_batch_that_does_not_divide_is_told_the_nearest_that_do():
    check_batch("train_batch_size", 96, 8, 4)
    with pytest.raises(
        SettingsError, match="--train_batch_size=100 is not divisible by 8 replicas"
    ):
        check_batch("train_batch_size", 100, 8)
    with pytest.raises(SettingsError, match="use 96 or 104"):
        check_batch("train_batch_size", 100, 8)
    with pytest.raises(SettingsError, match="8 replicas x 4 parts; use 96 or 128"):
        check_batch("train_batch_size", 100, 8, 4)
    with pytest.raises(SettingsError, match="--eval_batch_size=3 .* use 8$"):
        check_batch("eval_batch_size", 3, 8)


def test_epochs_and_shares_are_counted_out_in_steps():
    training = TrainingSettings(train_batch_size=32, train_epochs=3, warmup_proportion=0.1)
    assert (training.scheduled(1000).train_steps, training.scheduled(1000).warmup_steps) == (93, 9)
    # A set too small for one batch an epoch still trains a step, without a warm-up.
    assert (training.scheduled(5).train_steps, training.scheduled(5).warmup_steps) == (1, 0)
    plain = TrainingSettings(train_steps=100, warmup_steps=10)
    assert plain.scheduled(5) == plain
    assert RunSettings(evaluations=10).scheduled(93).eval_every == 10
    assert RunSettings(eval_every=7).scheduled(93).eval_every == 7
