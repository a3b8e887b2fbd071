"""Train with Lightning on the labels of a run: python lightning_module.py RUN.

`LabeledImages` gives an image, its soft label and its weight; no code of the run is
loaded. Needs `pip install lightning`.
"""

import sys

import lightning
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from lfkit import LabeledImages


class SoftLabels(lightning.LightningModule):
    """A linear network that learns from probabilities, each image by its weight."""

    def __init__(self, n_pixels, n_classes):
        super().__init__()
        layers = torch.nn.Flatten(), torch.nn.Linear(n_pixels, n_classes)
        self.network = torch.nn.Sequential(*layers)

    def training_step(self, batch, _):  # noqa: D102
        image, label, weight = batch
        loss = cross_entropy(self.network(image), label, reduction="none")
        return (weight * loss).sum() / weight.sum()

    def configure_optimizers(self):  # noqa: D102
        return torch.optim.Adam(self.parameters(), lr=0.01)


data = LabeledImages(sys.argv[1])
module = SoftLabels(data[0][0].numel(), len(data.class_names))
trainer = lightning.Trainer(max_epochs=10, logger=False, enable_checkpointing=False)
trainer.fit(module, DataLoader(data, batch_size=64, shuffle=True))
said = module.network(torch.stack([image for image, *_ in data])).argmax(1)
agree = (said.numpy() == data.labels).mean()
print(f"says what the run says on {agree:.1%} of {len(data)} images")
