"""Train a spiking network, take it away as a NIR file, and load that file again.

SpikingJelly, snnTorch, Norse and others read the same file: fastlif.to_nir says which of its options each needs.
Needs the extra nir: pip install 'fastlif[nir]'.
"""

import tempfile
from pathlib import Path

import nir
import torch
from torch import nn

import fastlif

T, N, FEATURES, CLASSES = 8, 64, 16, 4


def main() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(FEATURES, 32),
        nn.BatchNorm1d(32),
        fastlif.LIF(T, decay=0.9),
        nn.Linear(32, CLASSES),
        fastlif.LIF(T, decay=0.8, threshold=0.5),
    )
    centres = torch.rand(CLASSES, FEATURES)
    labels = torch.randint(CLASSES, (N,))
    x = centres[labels] + 0.1 * torch.randn(T, N, FEATURES)  # [T, N, features]

    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        rates = model(x.flatten(0, 1)).unflatten(0, (T, N)).mean(0)  # time is folded into the batch
        loss = nn.functional.cross_entropy(rates * 5, labels)
        loss.backward()
        optimizer.step()

    model.eval()  # so that the batch normalisation, folded into the layer before it, uses its running statistics
    graph = fastlif.to_nir(model, (FEATURES,), dt=1e-4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.nir"
        nir.write(path, graph)
        loaded = fastlif.from_nir(path, dt=1e-4)
    print(loaded)

    with torch.no_grad():
        ours, again = model(x.flatten(0, 1)).unflatten(0, (T, N)), loaded(x)  # the loaded one takes [T, N, features]
    print(f"loss {loss:.2f}; {int(ours.sum())} spikes, of which the loaded network has {int((ours * again).sum())}")


if __name__ == "__main__":
    main()
