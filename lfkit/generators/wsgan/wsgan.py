"""WSGAN: an InfoGAN whose codes are tied to the functions' votes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import nn

from lfkit.data.image_tensors import to_pixels
from lfkit.data.votes import Votes
from lfkit.errors import InputError
from lfkit.generators.classifier_gan import ClassifiedGenerator
from lfkit.generators.gan import LabelClassifier, PairGan, RealImages, StepHooks
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan.optimizers import adam, backward
from lfkit.generators.lf_votes.same_functions import check_same_functions
from lfkit.generators.lf_votes.vote_tensors import VoteTensors, rows_of, weights_of
from lfkit.generators.plan import check_number
from lfkit.generators.training_set import Progress, TrainingSet
from lfkit.generators.wsgan.vote_accuracies import (
    VoteAccuracies,
    alignment,
    unevenness,
)
from lfkit.nn import StepContext
from lfkit.nn.state_tensors import named_tensors
from lfkit.nn.training_loop import mixed_seed

# Images : codes as 1 : .1, as in the authors' code.
_PLAN = GanConfig(
    unconditional_fraction=0.0, conditioning="classifier", pair_weight=1 / 11
)
_EPOCHS = 150  # of the paper, at the end of which a training is
_READ = 64  # generated images of each code


class WsGan(ClassifiedGenerator):
    """Finds codes in images and makes them agree with votes that it learns to weigh.

    Boecking et al. 2023, "Generative modeling helps weak supervision (and vice versa)",
    arXiv:2203.12023. The posterior of an image's label weighs each vote by an accuracy
    that a small network reads from the discriminator's features of that image; two
    linear maps, from codes to labels and back, are to make both tell the same. No
    label of the run teaches it but through the shares of the classes. The authors' code
    adds those shares to scores of classes; here, as in their label model, it is their
    logarithm. Left out: smoothed and flipped labels of the discriminator.

    Parameters
    ----------
    plan : `pair_weight` is the weight of the codes; the rest is the judgement.
    label_rate : of Adam for accuracies and maps, as in the authors' code. With 1e-3, on
        two classes of toy images, votes were soon weighed by codes that were noise.
    align_rate : of Adam for the discriminator, where codes learn from votes.
    evenness : price of accuracies unlike .5, `unevenness`; 0: none, as in the authors'
        code unless it is asked for.
    """

    paper = "WSGAN (Boecking et al. 2023)"
    needs = "votes of functions"
    gives = "images of the class asked for, labels of real images"
    conditionings: ClassVar[tuple[str, ...]] = ("classifier",)

    def __init__(
        self,
        plan: GanConfig = _PLAN,
        *,
        label_rate: float = 8e-5,
        align_rate: float = 1e-4,
        evenness: float = 1.0,
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        self.plan = plan
        self.label_rate = label_rate
        self.align_rate = align_rate
        self.evenness = evenness
        self.random_state = random_state
        self.device = device

    def _check_settings(self, has_functions: bool) -> None:
        super()._check_settings(has_functions)
        check_number("label_rate", self.label_rate, 0, 1)
        check_number("align_rate", self.align_rate, 0, 1)
        check_number("evenness", self.evenness, 0)

    def _begin(self, task: TrainingSet) -> WsGanStep:
        if not _voted(task.votes).any():
            raise InputError(
                "WsGan learns what votes are worth, and no function has voted; use "
                "`ss-infogan`."
            )
        return WsGanStep(task, self)

    def _finish(
        self, trained: WsGanStep, task: TrainingSet, progress: Progress | None
    ) -> None:
        self.gan_ = self._new_gan(task.shape, task.n_classes)
        self.gan_.maker.load_state_dict(trained.gan.average.module.state_dict())
        self.lf_names_ = task.votes.names
        self.accuracies_ = trained.accuracies
        self.body_ = self._new_body(task.shape, task.n_classes)
        kept = trained.gan.discriminator_average
        assert kept is not None
        self.body_.take(kept.module)  # type: ignore[arg-type]
        proba = self._by_votes(task.images, task.votes)
        # Named, not soft: a sum of accuracies below 1 is unsure of what is plain.
        named = np.eye(task.n_classes)[proba.argmax(axis=1)]
        own = replace(task, proba=named * _voted(task.votes)[:, None])
        # Its codes get their names from what the reader says: not the other way round.
        self.gan_.fit_label_classifier(
            own, self.random_state, progress, learns_from_fake=False
        )
        self._name_codes(task)

    def relabel(
        self,
        read: Callable[[], NDArray[np.uint8]],
        votes: Votes,
        proba: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], str]:
        """Label the images it learned from by their votes, weighed for each image."""
        found = self.predict_proba(read(), votes)
        # Without a vote the shares of classes alone would name all such images alike.
        return np.where(_voted(votes)[:, None], found, proba), (
            "votes, weighed for each image; labels as they were where none voted"
        )

    def _name_codes(self, task: TrainingSet) -> None:
        """Match codes to classes by what the reader says of their images."""
        k = task.n_classes
        drawn = torch.Generator(self.device)
        drawn.manual_seed(mixed_seed(self.random_state, 6))
        images, _ = self.gan_.draw(np.repeat(np.arange(k), _READ), drawn)
        read = self.gan_.read(to_pixels(images)).reshape(k, _READ, k)
        of_code = read.mean(axis=1)  # (code, class)
        _, self.code_of_class_ = linear_sum_assignment(-of_code.T)

    def _predict_proba(
        self, images: NDArray[np.uint8], votes: Votes | None
    ) -> NDArray[np.float64]:
        if votes is None:
            return self.gan_.read(images)
        check_same_functions(votes, self.lf_names_)
        return self._by_votes(images, votes)

    def _by_votes(self, images: NDArray[np.uint8], votes: Votes) -> NDArray[np.float64]:
        self.body_.eval()
        found = []
        for start in range(0, len(images), _READ):
            rows = slice(start, start + _READ)
            pixels = torch.from_numpy(images[rows]).to(self.device)
            pixels = pixels.permute(0, 3, 1, 2).float() / 255
            with torch.no_grad():
                seen = self.body_.features(pixels)
                given = rows_of(votes, rows).to(self.device)
                found.append(self.accuracies_.posterior(seen, given)[0])
        if not found:
            return np.zeros((0, len(self.prior_)))
        return torch.cat(found).double().cpu().numpy()

    def _new_body(self, shape: tuple[int, int, int], k: int) -> LabelClassifier:
        return LabelClassifier(shape, k, self.plan).to(self.device)

    def _modules(self) -> Mapping[str, torch.nn.Module]:
        own = {"accuracies": self.accuracies_, "body": self.body_}
        return {**super()._modules(), **own}

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"lfs": list(self.lf_names_)}

    def _restore(self, settings: Mapping[str, Any]) -> None:
        super()._restore(settings)
        self.lf_names_ = tuple(settings["lfs"])
        k, nothing = len(self.prior_), torch.Generator().manual_seed(0)
        self.body_ = self._new_body(self.shape_, k)
        self.accuracies_ = VoteAccuracies(
            self.body_.body.n_features, len(self.lf_names_), self.prior_, nothing
        ).to(self.device)


class WsGanStep:
    """One step: an InfoGAN, then codes and weighed votes of real images are aligned.

    Attributes
    ----------
    accuracies : of votes, and the maps between codes and labels.
    """

    def __init__(self, task: TrainingSet, settings: WsGan) -> None:
        self.task, self.settings = task, settings
        plan, device = settings.plan, settings.device
        real = RealImages(task.images, task.n_classes, device, fixed=True)
        self.gan = PairGan(
            real,
            task.shape,
            plan,
            settings.random_state,
            device,
            StepHooks(
                labels=self._remember, keeps_discriminator=True, learns_from_fake=True
            ),
        )
        self.unlabeled = real
        self.votes = VoteTensors(task.votes, device)
        discriminator = self.gan.discriminator
        drawn = torch.Generator().manual_seed(mixed_seed(settings.random_state, 7))
        self.accuracies = VoteAccuracies(
            discriminator.body.n_features, task.votes.n_functions, task.prior, drawn
        ).to(device)
        self.label_optimizer = adam(
            self.accuracies.parameters(), settings.label_rate, plan
        )
        weights = [*discriminator.body.parameters(), *discriminator.named.parameters()]
        self.align_optimizer = adam(weights, settings.align_rate, plan)

    def step(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Take a step of the pair of networks, then align codes with votes."""
        self._shown: tuple[torch.Tensor, torch.Tensor] | None = None
        figures = self.gan.step(now)
        return figures if self._shown is None else figures | self._align(now)

    def show(
        self, classes: torch.Tensor, generator: torch.Generator, *, paired: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Make images of codes (n,) as the averaged generator does by now."""
        return self.gan.show(classes, generator, paired=paired)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Give all that the next step depends on."""
        return self.gan.tensors() | named_tensors(
            {"accuracies": self.accuracies},
            {
                "label_optimizer": self.label_optimizer,
                "align_optimizer": self.align_optimizer,
            },
        )

    def _remember(
        self, rows: torch.Tensor, images: torch.Tensor, now: StepContext
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Note which real images were shown; none has a label."""
        self._shown = rows, images
        return self.unlabeled.labels[rows], self.unlabeled.weights[rows], {}

    def _align(self, now: StepContext) -> dict[str, torch.Tensor]:
        """Make codes and labels of real images tell the same."""
        assert self._shown is not None
        rows, images = self._shown
        discriminator, accuracies = self.gan.discriminator, self.accuracies
        discriminator.eval().requires_grad_(True)
        votes = self.votes.rows(rows)
        seen = discriminator.body(images)
        codes = F.softmax(discriminator.named(seen).float(), dim=1)
        labels, values = accuracies.posterior(seen.detach(), votes)
        voted = votes.any(dim=2).any(dim=1).float()
        unlike = alignment(accuracies, codes, labels, voted)
        k, epoch = labels.shape[1], _EPOCHS * now.step / self.settings.plan.n_steps
        uneven = unevenness(values, k, epoch)
        loss = unlike + self.settings.evenness * uneven
        for optimizer in (self.label_optimizer, self.align_optimizer):
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * now.lr_scale
        backward(loss, nn.ModuleList([accuracies, discriminator]))
        self.label_optimizer.step()
        self.align_optimizer.step()
        return {
            "alignment_loss": unlike,
            "lf_accuracy_mean": values.mean(),
            "lf_accuracy_spread": values.std(dim=0).mean(),
        }


def _voted(votes: Votes) -> NDArray[np.bool_]:
    """Tell on which images a function voted, (n,)."""
    parts = [(part > 0).any(dim=2).any(dim=1).numpy() for part in weights_of(votes)]
    return np.concatenate([np.zeros(0, bool), *parts])
