"""How many time steps are enough? Digits that are easy stop early, and the others go on.

    pip install scikit-learn
    python examples/early_exit.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import fastlif

WIDTH = 24


def main():
    torch.manual_seed(0)
    digits = load_digits()
    images, labels = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    order = torch.randperm(len(images))
    (train, held, test), (train_y, held_y, test_y) = (part[order].split([1000, 397, 400]) for part in (images, labels))

    # Train in a single noisy step.
    network = nn.Sequential(nn.Linear(64, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH),
                            nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))  # fmt: skip
    model = fastlif.convert(network)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(15):
        for batch in torch.randperm(len(train)).split(50):
            loss = nn.functional.cross_entropy(model(train[batch]), train_y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    # Convert, and freeze the membranes' statistics, so that a digit's result does not depend on its batch.
    multi = fastlif.MultiStep(model, timesteps=12).eval().calibrate(train.split(100))

    print("Accuracy on held-out digits:")
    recommended = fastlif.recommend_timesteps(multi, [(held, held_y)], loss=0.5)
    print(recommended)

    print("\nAccuracy on test digits:")
    with torch.no_grad():
        for multi.timesteps in (1, recommended.timesteps, 12):
            right = (multi(test).argmax(1) == test_y).float().mean()
            print(f"T = {multi.timesteps:<11} {100 * right:5.1f} %")
    for confidence in (0.5, 0.8, 0.9):
        scores, steps = multi.until_confident(test, confidence)
        right, at_once = (scores.argmax(1) == test_y).float().mean(), (steps == 1).float().mean()
        print(f"until {100 * confidence:.0f} % sure  {100 * right:5.1f} %, {steps.float().mean():4.1f} steps each, "
              f"one for {100 * at_once:.0f} % of the digits")  # fmt: skip


if __name__ == "__main__":
    main()
