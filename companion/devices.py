"""Choose where to compute. Copy this file alone; it needs only torch."""

import torch


def default_device() -> torch.device:
    """The fastest device this machine has: CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
