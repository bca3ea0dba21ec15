"""A network of one's own on the reversible grid: two levels of plain convolutions, trained on handwritten digits.

python examples/own_network.py
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from trevsnn import ReversibleGrid
from trevsnn.data import load_dataset


class Cell(nn.Module):
    """What a level adds to its membrane potential at a step: of spikes below and, from step 1 on, of spikes above."""

    def __init__(self, below: int, channels: int, above: int | None = None):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(below, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels))
        self.up = nn.Conv2d(above, channels, 1) if above else None

    def forward(self, below: Tensor, above: Tensor | None = None) -> Tensor:
        x = self.down(below)
        if self.up is not None and above is not None:
            x = x + interpolate(self.up(above), size=x.shape[-2:])
        return x


class Network(nn.Module):
    def __init__(self, timesteps: int = 3):
        super().__init__()
        cells = [[Cell(1, 16, above=32 if t else None), Cell(16, 32)] for t in range(timesteps)]
        decays = [nn.Parameter(torch.full((channels,), 0.5)) for channels in (16, 32)]  # one for all steps
        self.grid = ReversibleGrid(cells, decays)
        self.classifier = nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        (spikes,) = self.grid(constant=images)  # of the last level, after the last step
        return self.classifier(spikes.mean((2, 3)))


def main(epochs: int = 8) -> float:
    torch.manual_seed(0)
    data = load_dataset("digits")
    images, test = (torch.from_numpy(split.pixels).float()[:, None] / 255 for split in (data.train, data.test))
    labels, expected = (torch.from_numpy(split.labels).long() for split in (data.train, data.test))
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        return (network.eval()(test).argmax(1) == expected).float().mean().item()


if __name__ == "__main__":
    print(f"{main():.1%} of the test digits")
