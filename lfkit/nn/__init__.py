"""Small networks trained from scratch: layers, augmentation, averages, the loop."""

from lfkit.nn.augment import Augmentation as Augmentation
from lfkit.nn.augment import augment as augment
from lfkit.nn.loop import FINE_TUNING as FINE_TUNING
from lfkit.nn.loop import Checkpoints as Checkpoints
from lfkit.nn.loop import TrainingPlan as TrainingPlan
from lfkit.nn.loop import seconds_per_step as seconds_per_step
from lfkit.nn.loop import steps_within as steps_within
from lfkit.nn.loop import train as train
from lfkit.nn.networks import SmallConvNet as SmallConvNet
from lfkit.nn.networks import look as look
from lfkit.nn.pretrained import FineTuned as FineTuned
from lfkit.nn.pretrained import Network as Network
from lfkit.nn.pretrained import make_network as make_network
