"""Train a network of timm on the labels of a run: python timm_network.py RUN [NETWORK].

`LabeledImages` gives an image, its soft label and its weight; no code of the run is
loaded. Needs `pip install timm`; nothing is downloaded.
"""

import sys

import timm
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from lfkit import LabeledImages

EPOCHS = 15

data = LabeledImages(sys.argv[1])
n_channels = len(data[0][0])
network = timm.create_model(
    sys.argv[2] if len(sys.argv) > 2 else "test_resnet",
    in_chans=n_channels,
    num_classes=len(data.class_names),
)
optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
for _ in range(EPOCHS):
    for image, label, weight in DataLoader(data, batch_size=64, shuffle=True):
        loss = cross_entropy(network.train()(image), label, reduction="none")
        optimizer.zero_grad()
        ((weight * loss).sum() / weight.sum()).backward()
        optimizer.step()

with torch.inference_mode():
    network.eval()
    said = [network(image).argmax(1) for image, *_ in DataLoader(data, 64)]
agree = (torch.cat(said).numpy() == data.labels).mean()
print(f"says what the run says on {agree:.1%} of {len(data)} images")
