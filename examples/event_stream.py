"""An event stream: which way does a bar move? Only the order of the frames tells, so the neurons must remember.

    python examples/event_stream.py
"""

import torch
from torch import nn

import fastlif

SIZE = 8


def moving_bars(count: int, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Events ``[T, N, 1, 8, 8]`` of a bar that crosses the picture once, and its direction ``[N]``, 0 to 3."""
    directions = torch.randint(4, (count,))
    place = torch.arange(steps)[:, None] * SIZE // steps  # of the bar, in each step
    place = torch.where(directions % 2 == 0, place, SIZE - 1 - place)  # [T, N]
    bars = (torch.arange(SIZE) == place[..., None]).float()[..., None].expand(-1, -1, SIZE, SIZE)
    events = torch.where((directions < 2)[:, None, None], bars, bars.transpose(2, 3))
    seen, noise = torch.rand_like(events) < 0.4, torch.rand_like(events) < 0.1
    return torch.maximum(events * seen, noise.float())[:, :, None], directions


def accuracy(model: nn.Module, events: torch.Tensor, directions: torch.Tensor) -> float:
    with torch.no_grad():
        return 100 * (model.eval()(events, sequence=True).argmax(1) == directions).float().mean().item()


def main():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIZE**2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
                            nn.Linear(64, 4))  # fmt: skip
    # Any model of layers for single images: sequence=True folds time into the batch, and the mean over T comes out.
    model = fastlif.MultiStep(fastlif.convert(network, fastlif.LIF, decay=0.8))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(200):
        events, directions = moving_bars(64, steps=8)
        loss = nn.functional.cross_entropy(model.train()(events, sequence=True), directions)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    events, directions = moving_bars(500, steps=8)
    print(f"directions told from 8 frames:        {accuracy(model, events, directions):5.1f} %")
    opposite = directions ^ 1
    print(f"backwards, the opposite directions:   {accuracy(model, events.flip(0), opposite):5.1f} %")
    events, directions = moving_bars(500, steps=12)  # any T: the model need not be told
    print(f"slower bars, 12 frames:               {accuracy(model, events, directions):5.1f} %")
    model.output = "steps"
    with torch.no_grad():
        scores = model(events, sequence=True)  # [T, N, classes]
    early = 100 * (scores[:6].mean(0).argmax(1) == directions).float().mean()
    print(f"of these 12 frames only the first 6:  {early:5.1f} %")


if __name__ == "__main__":
    main()
