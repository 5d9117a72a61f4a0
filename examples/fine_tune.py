"""A trained ReLU network becomes a spiking one: its thresholds are scaled, and a single noisy step fine-tunes it."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import fastlif

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
labels = torch.tensor(digits.target)
order = torch.randperm(len(images))
train, test = order[:1437], order[1437:]


def fit(model, epochs):
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    model.train()
    for _ in range(epochs):
        for batch in train[torch.randperm(len(train))].split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()


@torch.no_grad()
def accuracy(model):
    return 100 * float((model.eval()(images[test]).argmax(dim=1) == labels[test]).float().mean())


relu = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
)  # fmt: skip
fit(relu, 15)
print(f"the ReLU network                       {accuracy(relu):.1f} %")

spiking = fastlif.convert(relu, backend="reference")  # by default it first compiles, for some seconds
print(f"converted, a single step               {accuracy(spiking):.1f} %")
spiking = fastlif.scale_thresholds(spiking, relu, images[train].split(256))
print(f"with thresholds scaled                 {accuracy(spiking):.1f} %")
print(f"the same over 10 steps                 {accuracy(fastlif.MultiStep(spiking, 10)):.1f} %")

fit(spiking, 3)
print(f"fine-tuned for 3 epochs, a single step {accuracy(spiking):.1f} %")
print(f"the same over 10 steps                 {accuracy(fastlif.MultiStep(spiking, 10)):.1f} %")
