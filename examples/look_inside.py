"""Train a spiking network for a few seconds, then look inside: ``python examples/look_inside.py FOLDER``.

Needs ``pip install 'fastlif[plot]' scikit-learn``. Writes raster.png, membranes.png and rates.png to the folder, the
present one by default.
"""

import sys
from functools import partial
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import fastlif

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16  # [1797, 1, 8, 8]
labels = torch.tensor(digits.target)

neuron = partial(fastlif.NoisyLIF, backend="reference")  # for so few seconds of work compiling does not pay
model = nn.Sequential()
model.add_module("conv", nn.Conv2d(1, 16, 3, padding=1))
model.add_module("neuron 1", neuron())
model.add_module("pool", nn.MaxPool2d(2))
model.add_module("conv 2", nn.Conv2d(16, 32, 3, padding=1))
model.add_module("neuron 2", neuron())
model.add_module("flatten", nn.Flatten())
model.add_module("hidden", nn.Linear(512, 64))
model.add_module("neuron 3", neuron())
model.add_module("scores", nn.Linear(64, 10))

optimizer = torch.optim.Adam(model.parameters(), 5e-3)
for _ in range(5):
    for batch in torch.randperm(1500).split(100):
        loss = F.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

multi = fastlif.MultiStep(model, timesteps=30).eval()
with torch.no_grad(), fastlif.record(multi, membrane="before") as log:
    scores = multi(images[1500:])

print(f"accuracy {(scores.argmax(1) == labels[1500:]).float().mean():.1%}\n\n{log.table()}\n")
print(fastlif.energy(multi, images[1500:]))

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
folder.mkdir(parents=True, exist_ok=True)
for name, axes in {
    "raster": fastlif.plot.raster(log, units=20),
    "membranes": fastlif.plot.membrane(log, layer="model.neuron 2"),
    "rates": fastlif.plot.rates(log),
}.items():
    axes.figure.savefig(folder / f"{name}.png", dpi=150)
