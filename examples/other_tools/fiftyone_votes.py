"""Open a run in FiftyOne, each function's vote as a field, seeds with the tag seed.

lfkit export RUN --as fiftyone --out FOLDER, then: python fiftyone_votes.py FOLDER NAME.
Needs `pip install fiftyone`, and the MongoDB that it works with.
"""

import json
import sys
from pathlib import Path

import fiftyone as fo


def samples_of(folder):
    """Give each image with its label, and a field for each function that voted."""
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["labels"]
    places = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    for key, place in places.items():
        sample, told = fo.Sample(filepath=str(folder / place)), labels[key]
        if told is not None:
            sample["ground_truth"] = fo.Classification(
                label=told["label"], confidence=told["confidence"]
            )
            more = told["attributes"]
            sample["image_id"] = more["image_id"]
            sample.tags = ["seed"] if more["seed"] else []
            for function, said in more["votes"].items():
                sample[function.replace(".", "_")] = fo.Classification(label=said)
        yield sample


if __name__ == "__main__":
    dataset = fo.Dataset(sys.argv[2])
    dataset.add_samples(samples_of(Path(sys.argv[1]).resolve()))
    fo.launch_app(dataset).wait()
