"""Fixtures shared by all tests of the companion."""

import pytest
import torch

CUDA = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
)


@pytest.fixture(autouse=True)
def _seed():
    """Start every test from the same random state, in whatever order they run."""
    torch.manual_seed(0)


@pytest.fixture(params=["cpu", CUDA])
def device(request):
    """Run the test on the CPU and, where there is one, on a GPU."""
    return torch.device(request.param)


@pytest.fixture(scope="session")
def packaged_bert():
    """The packaged weights, loaded once; tests must not change them."""
    from companion.pretrained import load_bert

    return load_bert()


@pytest.fixture(scope="session")
def packaged_tokenizer():
    from companion.pretrained import load_tokenizer

    return load_tokenizer()
