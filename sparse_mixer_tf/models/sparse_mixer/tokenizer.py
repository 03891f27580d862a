"""SentencePiece tokenizer with the special pieces of a masked language model."""

import keras
import keras_hub

from sparse_mixer_tf.models.sparse_mixer.backbone import SparseMixerBackbone

PAD_PIECES = ("<pad>", "[PAD]")


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class SparseMixerTokenizer(keras_hub.tokenizers.SentencePieceTokenizer):
    """Turns text into SentencePiece ids and back.

    The vocabulary must hold `[CLS]`, `[SEP]`, `[MASK]` and a padding piece, which is found by its
    name, `<pad>` or `[PAD]`, wherever it stands.

    Call `keras.utils.set_random_seed` before making one: it clears TensorFlow's kernels, those
    of tokenizers among them, which then raise `NotFoundError` in `fit` and `predict`.

    Args:
        proto: path of a SentencePiece model file, or its bytes.

    Examples:
    ```python
    tokenizer = SparseMixerTokenizer("vocabulary/sentencepiece.model")
    tokenizer(["The quick brown fox."])  # ragged [1, None] int32
    tokenizer.detokenize(tokenizer(["The quick brown fox."]))
    ```

    References:
        [SentencePiece](https://arxiv.org/abs/1808.06226)
    """

    backbone_cls = SparseMixerBackbone

    def __init__(self, proto, **kwargs):
        self._add_special_token("[CLS]", "cls_token")
        self._add_special_token("[SEP]", "sep_token")
        self._add_special_token("[MASK]", "mask_token")
        self._add_special_token(PAD_PIECES[0], "pad_token")
        # What KerasHub's packers put around a sequence.
        self._add_special_token("[CLS]", "start_token")
        self._add_special_token("[SEP]", "end_token")
        super().__init__(proto=proto, **kwargs)

    def _update_special_token_ids(self):
        pieces = set(self.get_vocabulary())
        self.pad_token = next((piece for piece in PAD_PIECES if piece in pieces), None)
        missing = [piece for piece in ("[CLS]", "[SEP]", "[MASK]") if piece not in pieces]
        if self.pad_token is None:
            missing.append(" or ".join(PAD_PIECES))
        if missing:
            raise ValueError(
                f"the SentencePiece vocabulary of {len(pieces)} pieces lacks {', '.join(missing)}; "
                "train one with --user_defined_symbols=[CLS],[SEP],[MASK] --pad_id=0 --unk_id=1"
            )
        super()._update_special_token_ids()
