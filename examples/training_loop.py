"""A training loop of one's own, with Hugging Face Accelerate: on one device, on several GPUs, in mixed precision.

pip install accelerate
python examples/training_loop.py                # or: accelerate launch examples/training_loop.py
"""

import torch
from accelerate import Accelerator
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.data import DataLoader, TensorDataset

import trevsnn
from trevsnn.data import load_dataset


def main(epochs: int = 4, channels: tuple[int, ...] = (16, 16, 24, 24)) -> float:
    torch.manual_seed(0)
    accelerator = Accelerator()
    data = load_dataset("digits")
    splits = []
    for split in (data.train, data.test):
        pixels = torch.from_numpy(split.pixels).float()[:, None] / 255
        splits.append(TensorDataset(interpolate(pixels, scale_factor=4), torch.from_numpy(split.labels).long()))
    model = trevsnn.create_model("trevsnn_digits", num_classes=10, channels=channels)  # memory="reversible"
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.05)
    train, test = (DataLoader(split, batch_size=64, shuffle=split is splits[0]) for split in splits)
    model, optimizer, train, test = accelerator.prepare(model, optimizer, train, test)

    for epoch in range(epochs):
        model.train()
        for images, labels in train:
            optimizer.zero_grad()
            loss = cross_entropy(model(images), labels)  # one tensor: any loss will do
            accelerator.backward(loss)
            optimizer.step()
        accelerator.print(f"epoch {epoch + 1}: loss {loss.item():.3f}")

    model.eval()
    right = []
    with torch.no_grad():
        for images, labels in test:
            found, labels = accelerator.gather_for_metrics((model(images).argmax(1), labels))
            right.append(found == labels)
    return torch.cat(right).float().mean().item()


if __name__ == "__main__":
    print(f"{main():.1%} of the test digits")
