"""Networks: layers, augmentation, averages of weights, and the training loop."""

from lfkit.nn.augment import Augmentation as Augmentation
from lfkit.nn.augment import augment as augment
from lfkit.nn.compute import Compute as Compute
from lfkit.nn.distributed import Distributed as Distributed
from lfkit.nn.distributed import distributed as distributed
from lfkit.nn.networks import SmallConvNet as SmallConvNet
from lfkit.nn.networks import look as look
from lfkit.nn.pretrained import FineTuned as FineTuned
from lfkit.nn.pretrained import Network as Network
from lfkit.nn.pretrained import make_network as make_network
from lfkit.nn.train_classifier import FINE_TUNING as FINE_TUNING
from lfkit.nn.train_classifier import TrainingPlan as TrainingPlan
from lfkit.nn.train_classifier import compute_of as compute_of
from lfkit.nn.train_classifier import compute_tried_out as compute_tried_out
from lfkit.nn.train_classifier import (
    seconds_per_training_step as seconds_per_training_step,
)
from lfkit.nn.train_classifier import steps_within as steps_within
from lfkit.nn.train_classifier import train as train
from lfkit.nn.train_classifier import training_step as training_step
from lfkit.nn.training_loop import Checkpoints as Checkpoints
from lfkit.nn.training_loop import Monitor as Monitor
from lfkit.nn.training_loop import StepContext as StepContext
from lfkit.nn.training_loop import Trainable as Trainable
from lfkit.nn.training_loop import run_steps as run_steps
from lfkit.nn.training_loop import seconds_per_step as seconds_per_step
