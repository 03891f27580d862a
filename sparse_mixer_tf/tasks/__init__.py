"""Tasks: objective and score; the trainer asks a task for everything it needs."""

from sparse_mixer_tf.tasks.causal_lm import LanguageModel
from sparse_mixer_tf.tasks.classification import Classification
from sparse_mixer_tf.tasks.pretraining import Pretraining

TASKS = {"pretrain": Pretraining, "classify": Classification, "causal_lm": LanguageModel}

__all__ = ["TASKS", "Classification", "LanguageModel", "Pretraining"]
