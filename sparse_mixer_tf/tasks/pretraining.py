"""Pre-training: masked words, and whether two halves of a text stand in their order."""

from contextlib import nullcontext

import numpy as np
from keras import ops

from pipelines import pretraining as streams
from pipelines.settings import DataSettings
from pipelines.store import TokenStore
from pipelines.vocabulary import Vocabulary
from sparse_mixer_tf.layers import RoutingSettings, observe_routing, random_key
from sparse_mixer_tf.losses import cross_entropy_sums
from sparse_mixer_tf.models import PretrainingModel, SparseMixerBackbone
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings
from sparse_mixer_tf.tasks.filling import model_inputs

ROUTING_MEANS = ("dropped_fraction", "router_confidence", "router_entropy", "load_cv")


def build_backbone(
    model: ModelSettings, vocabulary_size: int, max_seq_length: int, precision: str
) -> SparseMixerBackbone:
    """The encoder that the settings describe."""
    routing = None
    if "g" in model.architecture:
        routing = RoutingSettings(
            num_experts=model.num_experts,
            router=model.router,
            num_selected_experts=model.num_selected_experts,
            capacity_factor=model.capacity_factor,
            eval_capacity_factor=model.eval_capacity_factor,
            min_expert_capacity=model.min_expert_capacity,
            batch_prioritized_routing=model.batch_prioritized_routing,
            jitter_noise=model.jitter_noise,
            max_group_size=model.max_group_size,
            dispatch=model.dispatch,
            balance_loss_factor=model.balance_loss_factor,
            router_z_loss_factor=model.router_z_loss_factor,
            route_padding=model.route_padding,
        )
    return SparseMixerBackbone(
        vocabulary_size=vocabulary_size,
        architecture=model.architecture,
        d_model=model.d_model,
        d_ff=model.d_ff,
        d_emb=model.d_emb,
        num_heads=model.num_heads,
        max_sequence_length=max_seq_length,
        dropout_rate=model.dropout_rate,
        attention_dropout_rate=model.attention_dropout_rate,
        expert_d_ff=model.expert_d_ff,
        expert_dropout_rate=model.expert_dropout_rate,
        routing=routing,
        mixing_implementation=model.mixing_implementation,
        mask_padding_in_mixing=model.mask_padding_in_mixing,
        share_block_weights=model.share_block_weights,
        dtype=precision,
    )


class Pretraining:
    """What the trainer needs to know of pre-training.

    Args:
        vocabulary: whose size the model gets.
    """

    def __init__(
        self,
        model_settings: ModelSettings,
        training_settings: TrainingSettings,
        data_settings: DataSettings,
        vocabulary: Vocabulary,
    ):
        self.settings, self.data_settings = training_settings, data_settings
        self.vocabulary = vocabulary
        self.has_order = data_settings.pair_objective != "none"
        backbone = build_backbone(
            model_settings, vocabulary.size, data_settings.max_seq_length, self.settings.precision
        )
        self.model = PretrainingModel(backbone, order_head=self.has_order)

    def train_stream(self, store: TokenStore, start_step: int):
        """Endless tf.data of global batches, beginning at one step."""
        return streams.train_stream(
            store,
            self.data_settings,
            self.settings.train_batch_size,
            self.settings.seed,
            start_step=start_step,
        )

    def evaluation_stream(self, store: TokenStore, num_batches: int | None):
        """tf.data over the validation split, in order and with fixed masks."""
        return streams.evaluation_stream(
            store, self.data_settings, self.settings.eval_batch_size, num_batches=num_batches
        )

    def normalizers(self, batch: dict) -> dict:
        """See `training.step.Objective`."""
        return {
            "predictions": ops.sum(batch["mask_weights"]),
            "examples": ops.sum(batch["example_weights"]),
        }

    def contributions(self, batch: dict, normalizers: dict, share, key) -> tuple:
        """See `training.step.Objective`."""
        words, order, routing, auxiliary = self._forward(batch, key)
        # A batch without a single masked word or example is all filler: nothing divided by one.
        predictions = ops.maximum(normalizers["predictions"], 1.0)
        metrics = {
            "masked_lm_loss": words.loss / predictions,
            "masked_lm_accuracy": words.correct / predictions,
        }
        loss = metrics["masked_lm_loss"] + share * auxiliary
        if order is not None:
            examples = ops.maximum(normalizers["examples"], 1.0)
            metrics["order_loss"] = order.loss / examples
            metrics["order_accuracy"] = order.correct / examples
            loss = loss + metrics["order_loss"]
        if routing:
            layers = [values for _, values in routing]
            metrics["balance_loss"] = share * sum(layer["balance_loss"] for layer in layers)
            metrics["router_z_loss"] = share * sum(layer["router_z_loss"] for layer in layers)
            for name in ROUTING_MEANS:
                metrics[name] = share * sum(layer[name] for layer in layers) / len(layers)
        return loss, metrics

    def evaluation_sums(self, batch: dict, frequent_id: int) -> dict:
        """Sums over held-out examples; `summary` turns them into metrics."""
        words, order, routing, auxiliary = self._forward(batch, key=None)
        frequent = ops.cast(batch["mask_ids"] == frequent_id, "float32")
        sums = {
            "words": words._asdict(),
            "baseline_correct": ops.sum(frequent * batch["mask_weights"]),
            "auxiliary_loss": auxiliary,
            "batches": ops.ones(()),
        }
        if order is not None:
            sums["order"] = order._asdict()
        if routing:
            sums["expert_load"] = {name: values["expert_load"] for name, values in routing}
            sums["dropped"] = sum(v["dropped_fraction"] for _, v in routing) / len(routing)
        return sums

    def summary(self, sums: dict) -> dict:
        """Held-out metrics from the sums over all evaluation batches."""
        words, batches = sums["words"], sums["batches"]
        loss = words["loss"] / words["count"]
        metrics = {
            "masked_lm_loss": loss,
            "masked_lm_accuracy": words["correct"] / words["count"],
            "baseline_accuracy": sums["baseline_correct"] / words["count"],
        }
        loss = loss + sums["auxiliary_loss"] / batches
        if "order" in sums:
            order = sums["order"]
            metrics["order_loss"] = order["loss"] / order["count"]
            metrics["order_accuracy"] = order["correct"] / order["count"]
            loss = loss + metrics["order_loss"]
        if "expert_load" in sums:
            metrics["dropped_fraction"] = sums["dropped"] / batches
        metrics = {"loss": float(loss)} | {name: float(v) for name, v in metrics.items()}
        if "expert_load" in sums:
            metrics["expert_load"] = {
                name: (load / batches).tolist() for name, load in sums["expert_load"].items()
            }
        return metrics

    def most_frequent_token(self, store: TokenStore) -> int:
        """The ordinary piece that the first shard of the training split holds most of."""
        tokens = store.splits["train"][0].tokens
        counts = np.bincount(tokens, minlength=self.vocabulary.size)
        return int(np.argmax(np.where(self.vocabulary.is_special, 0, counts)))

    def _forward(self, batch: dict, key):
        training = key is not None
        with observe_routing() as routing, random_key(key) if training else nullcontext():
            outputs = self.model(model_inputs(self.model, batch), training=training)
        words = cross_entropy_sums(outputs["mlm_logits"], batch["mask_ids"], batch["mask_weights"])
        order = None
        if self.has_order:
            order = cross_entropy_sums(
                outputs["order_logits"], batch["order_labels"], batch["example_weights"]
            )
        auxiliary = sum(self.model.losses, ops.zeros(()))
        return words, order, routing, auxiliary
