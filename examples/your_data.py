"""Your own data: a small network is converted, trained in a single noisy step, and run over ten steps."""

import pathlib
import tempfile

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fastlif

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"
backend = "auto" if device == "cuda" else "reference"  # on a CPU "auto" first compiles, for some seconds
# Put your own here: images [N, C, H, W] of about unit size, and labels [N]. These are bars, upright or lying, in noise.
images = 0.3 * torch.randn(600, 1, 12, 12)
labels = torch.arange(600) % 2
for image, label, place in zip(images, labels, torch.randint(12, (600,))):
    image[0][(slice(None), place) if label else place] += 1.0
train = DataLoader(TensorDataset(images[:500], labels[:500]), batch_size=50, shuffle=True)
test, expected = images[500:].to(device), labels[500:].to(device)


def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(3),
        nn.Flatten(), nn.Linear(144, 2),
    )  # fmt: skip


spiking = fastlif.convert(network(), backend=backend).to(device)
optimizer = torch.optim.Adam(spiking.parameters(), 3e-3)
for epoch in range(4):
    for batch, target in train:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(spiking(batch.to(device)), target.to(device))
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {float(loss.detach()):.2f}")

multi = fastlif.MultiStep(spiking, timesteps=10).eval().calibrate(train)
path = pathlib.Path(tempfile.mkdtemp()) / "spiking.pt"
torch.save(multi.state_dict(), path)

loaded = fastlif.MultiStep(fastlif.convert(network(), backend=backend), timesteps=10).eval().to(device)
loaded.load_state_dict(torch.load(path))
with torch.no_grad():
    for name, model in (("a single step", spiking.eval()), ("10 steps", multi), ("10 steps, loaded", loaded)):
        print(f"{name}: {100 * float((model(test).argmax(dim=1) == expected).float().mean()):.0f} % correct")
