"""The peer computes what the published code computes, so its speed is that of the same work."""

import numpy as np
import pytest

from tests.optional import import_package
from tests.reference_files import read_arrays, read_config, reference_names

torch = import_package("torch")

from benchmarks.brainformer_in_torch import (  # noqa: E402
    Adagrad,
    Brainformer,
    held_out_loss,
    training_of,
)

_SPAN_RATIO = "attn.attn.adaptive_span._mask.current_val"


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for one another take ten times as long as these small models."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=reference_names("brainformer", "full_sgfgfg*"))
def published(request):
    """Sizes, numbers, and the peer with the published weights."""
    sizes = read_config("brainformer", request.param)
    numbers = read_arrays("brainformer", request.param)
    model = Brainformer(
        sizes["arch"], sizes["vocab"], sizes["H"], sizes["inner"], sizes["heads"], sizes["span"],
        sizes["adapt"],
    )  # fmt: skip
    weights = {
        name.removeprefix("param/").replace(_SPAN_RATIO, "attn.ratio"): torch.from_numpy(values)
        for name, values in numbers.items()
        if name.startswith("param/")
    }
    model.load_state_dict(weights)
    return sizes, numbers, model


def test_outputs_and_gradients_of_two_blocks(published):
    sizes, numbers, model = published
    ids, block = torch.from_numpy(numbers["ids"]), sizes["block"]
    memory = [torch.zeros(len(ids), sizes["span"], sizes["H"]) for _ in model.layers]
    for number in range(2):
        start = number * block
        logits, memory = model(ids[:, start : start + block], memory)
        expected = f"f64/block{number}"
        logp = logits.log_softmax(-1)
        assert np.abs(logp.detach().numpy() - numbers[f"{expected}/logp"]).max() < 1e-5
        targets = ids[:, start + 1 : start + block + 1]
        loss = torch.nn.functional.nll_loss(logp.flatten(0, 1), targets.flatten())
        model.zero_grad()
        (loss + model.span_loss(sizes["span_loss"])).backward()
        for name, parameter in model.named_parameters():
            theirs = numbers[f"{expected}/grad/{name.replace('attn.ratio', _SPAN_RATIO)}"]
            error = np.abs(parameter.grad.numpy() - theirs).max()
            assert error <= 5e-5 * np.abs(theirs).max() + 1e-8, name


def test_updates():
    numbers = read_arrays("brainformer", "adagrad_clip0.03")
    tensors = [torch.nn.Parameter(torch.from_numpy(numbers[f"p_init/{i}"])) for i in range(2)]
    optimizer = Adagrad(tensors, rate=0.07, clip=0.03)
    for step in range(4):
        for index, tensor in enumerate(tensors):
            tensor.grad = torch.from_numpy(numbers[f"grad/{index}_step{step}"])
        optimizer.step()
        for index, tensor in enumerate(tensors):
            expected = numbers[f"p{index}_step{step}"]
            np.testing.assert_allclose(tensor.detach().numpy(), expected, rtol=1e-5, atol=1e-7)


def test_training_reads_on_block_by_block_and_begins_again_without_memory():
    torch.manual_seed(0)
    model = Brainformer("sgfgfg.sgfgfg", 256, 16, 24, 2, 8, adaptive=True)
    text, losses = bytes(range(64, 96)) * 2, []
    # Without updates, what is read decides the loss: rows of 32 bytes have three blocks of 8.
    training = training_of(model, text, batch_size=2, block_size=8, span_loss=5e-7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Adagrad, "step", lambda self: None)
        losses = [next(training) for _ in range(7)]
    assert losses[:3] == losses[3:6] and losses[0] == losses[6]
    assert len(set(losses[:3])) == 3
    assert held_out_loss(model, text, 2, 8) == pytest.approx(np.mean(losses[:3]))
    trained = [next(training) for _ in range(60)]
    assert trained[-1] < 0.7 * losses[0]
    assert all(0 <= layer.attn.ratio.min() <= layer.attn.ratio.max() <= 1 for layer in model.layers)


def test_the_rate_grows_from_nothing_over_the_warm_up():
    torch.manual_seed(0)
    model = Brainformer("sgfgfg", 256, 16, 24, 2, 8, adaptive=False)
    rates = []
    training = training_of(model, bytes(range(64, 96)) * 2, 2, 8, span_loss=0.0, warmup_steps=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Adagrad, "step", lambda self: rates.append(self.rate))
        for _ in range(4):
            next(training)
    assert rates == [0.0, 0.035, 0.07, 0.07]
