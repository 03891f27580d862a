import dataclasses

import pytest

from pipelines import schema
from pipelines.datasets import pretraining


@pytest.fixture(scope="module")
def batch(store, settings):
    return pretraining.batch_at(store, settings, 0, 0, 8)


def test_a_batch_keeps_its_contract(batch, settings):
    schema.check(batch, schema.pretraining_batch(settings, 8))


@pytest.mark.parametrize(("objective", "pack"), [("next", False), ("none", False), ("none", True)])
def test_every_objective_keeps_its_contract(store, settings, objective, pack):
    other = dataclasses.replace(settings, pair_objective=objective, pack_documents=pack)
    contract = schema.pretraining_batch(other, 8)
    assert ("order_labels" in contract) == (objective != "none")
    schema.check(pretraining.batch_at(store, other, 0, 0, 8), contract)
    schema.check(pretraining.evaluation_batch_at(store, other, 0, 8), contract)


def test_a_broken_contract_is_told_by_name(batch, settings):
    contract = schema.pretraining_batch(settings, 8)
    with pytest.raises(ValueError, match=r"lacks \['token_ids'\]"):
        schema.check({k: v for k, v in batch.items() if k != "token_ids"}, contract)
    with pytest.raises(ValueError, match=r"has \['extra'\] too much"):
        schema.check(batch | {"extra": batch["token_ids"]}, contract)
    with pytest.raises(ValueError, match=r"mask_ids of the batch is int64"):
        schema.check(batch | {"mask_ids": batch["mask_ids"].astype("int64")}, contract)
    with pytest.raises(ValueError, match=r"token_ids .*\[8, 32\], expected int32 \[8, 64\]"):
        schema.check(batch | {"token_ids": batch["token_ids"][:, :32]}, contract)
