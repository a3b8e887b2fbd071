"""Small networks trained from scratch: layers, augmentation, averages, the loop."""

from lfkit.nn.augment import Augmentation as Augmentation
from lfkit.nn.augment import augment as augment
from lfkit.nn.batches import Extras as Extras
from lfkit.nn.loop import Checkpoints as Checkpoints
from lfkit.nn.loop import Journal as Journal
from lfkit.nn.loop import Moment as Moment
from lfkit.nn.loop import Trainable as Trainable
from lfkit.nn.loop import run_steps as run_steps
from lfkit.nn.loop import seconds_per_step as seconds_per_step
from lfkit.nn.maker import Maker as Maker
from lfkit.nn.maker import make_images as make_images
from lfkit.nn.networks import SmallConvNet as SmallConvNet
from lfkit.nn.networks import look as look
from lfkit.nn.pair_gan import PairGan as PairGan
from lfkit.nn.pretrained import FineTuned as FineTuned
from lfkit.nn.pretrained import Network as Network
from lfkit.nn.pretrained import make_network as make_network
from lfkit.nn.ranks import Ranks as Ranks
from lfkit.nn.ranks import ranks as ranks
from lfkit.nn.reader import Reader as Reader
from lfkit.nn.real import Real as Real
from lfkit.nn.supervised import FINE_TUNING as FINE_TUNING
from lfkit.nn.supervised import TrainingPlan as TrainingPlan
from lfkit.nn.supervised import seconds_per_training_step as seconds_per_training_step
from lfkit.nn.supervised import steps_within as steps_within
from lfkit.nn.supervised import train as train
